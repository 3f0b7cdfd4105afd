"""One step of training against the same step written out by hand."""

import copy
from contextlib import contextmanager

import pytest
import torch
from torch.nn import functional as F

from atlpa.attacks import PGD, Attack
from atlpa.component import validate
from atlpa.defenses import Defense, Term, load_preset, preset_names
from atlpa.losses import ATLPALoss
from atlpa.models import ModelSpec, record_stages
from atlpa.training import Recipe, training_step

ATTACK = PGD(epsilon=0.1, step=0.05, iterations=2)


@pytest.fixture
def model():
    return ModelSpec(architecture="resnet18", weights="none").build(7, seed=0).double()


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 32, 32, generator=draw, dtype=torch.float64), torch.randint(7, (4,), generator=draw)


def step(model, preset, batch, **changes):
    defense = validate(Defense, {**load_preset(preset).fields, **changes})
    return training_step(model, defense, defense.training_attack(ATTACK), Recipe().make_optimizer(model), *batch)


def gradients(model):
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def same_gradients(model, twin):
    ours, theirs = gradients(model), gradients(twin)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-6, atol=1e-9, msg=name)


def test_atlpa_step_is_the_papers(model, batch):
    """Attack in evaluation mode, one forward over clean and adversarial images, Eq. 2, backward."""
    twin = copy.deepcopy(model)
    result = step(model, "atlpa", batch)

    images, labels = batch
    adversarial = ATTACK(twin.eval(), images, labels)
    with record_stages(twin.train()) as stages:
        logits = twin(torch.cat([images, adversarial]))
    terms = ATLPALoss()(
        logits[:4], logits[4:], labels, [s[:4] for s in stages.values()], [s[4:] for s in stages.values()]
    )
    sum(terms.values()).backward()

    assert result.terms.keys() == terms.keys()
    for name, value in terms.items():
        assert result.terms[name].item() == pytest.approx(value.item(), rel=1e-5), name
    same_gradients(model, twin)
    assert torch.equal(model.backbone.bn1.running_mean, twin.backbone.bn1.running_mean)
    assert model.backbone.bn1.num_batches_tracked == 1  # the attack's forwards left no trace


def test_undefended_step_is_plain_training(model, batch):
    twin = copy.deepcopy(model)
    result = step(model, "none", batch)
    F.cross_entropy(twin.train()(batch[0]), batch[1]).backward()
    same_gradients(model, twin)
    assert set(result.accuracy) == {"clean"}


def test_madrys_original_trains_on_adversarial_images_alone(model, batch):
    twin = copy.deepcopy(model)
    result = step(model, "pat", batch, adversarial_fraction=1)
    adversarial = ATTACK(twin.eval(), *batch)
    F.cross_entropy(twin.train()(adversarial), batch[1]).backward()
    same_gradients(model, twin)
    assert set(result.accuracy) == {"adversarial"}


def test_no_hooks_remain(model, batch):
    step(model, "atlpa", batch)
    assert not any(module._forward_hooks for module in model.modules())


def test_igr_step_is_double_backpropagation(model, batch):
    twin = copy.deepcopy(model)
    result = step(model, "igr_clean", batch)
    images, labels = batch[0].clone().requires_grad_(True), batch[1]
    loss = F.cross_entropy(twin.train()(images), labels)
    (gradient,) = torch.autograd.grad(loss * len(labels), images, create_graph=True)
    (loss + 0.2 * gradient.square().sum(dim=(1, 2, 3)).mean()).backward()
    assert result.terms["input_gradient"] > 0
    same_gradients(model, twin)


def test_trades_step_climbs_and_descends_the_kl_divergence(model, batch):
    twin = copy.deepcopy(model)
    images, labels = batch
    draw = torch.Generator().manual_seed(7)
    defense = validate(Defense, load_preset("trades").fields)
    attack = defense.training_attack(ATTACK)
    training_step(model, defense, attack, Recipe().make_optimizer(model), images, labels, draw.clone_state())

    adversarial = attack(twin, images, labels, generator=draw)
    clean, attacked = twin.train()(torch.cat([images, adversarial])).chunk(2)
    divergence = (clean.softmax(1) * (clean.log_softmax(1) - attacked.log_softmax(1))).sum(1).mean()
    (F.cross_entropy(clean, labels) + 6 * divergence).backward()
    same_gradients(model, twin)


@pytest.mark.parametrize("preset", preset_names())
def test_a_step_costs_what_it_claims(model, batch, preset):
    """Forwards counted in images at the network, backwards where gradients reach its logits."""
    passes = {"forward": 0.0, "backward": 0.0}

    def count(_module, _inputs, logits):
        share = len(logits) / len(batch[0])
        passes["forward"] += share
        if logits.requires_grad:
            logits.register_hook(lambda _: passes.__setitem__("backward", passes["backward"] + share))

    model.register_forward_hook(count)
    step(model, preset, batch)
    cost = validate(Defense, load_preset(preset).fields).cost(ATTACK)
    assert passes == {"forward": cost.forwards, "backward": cost.backwards}


def test_a_training_attack_may_leave_the_ball(model, batch):
    """As N-FGSM does, whose noise is wider than ε and whose step is not cut back: the step learns from its images."""

    class Beyond(Attack):
        name = "beyond"

        def perturb(self, model, images, labels, generator):
            del model, labels, generator
            return (images + 3 * self.epsilon).clamp(0, 1)

    twin = copy.deepcopy(model)
    images, labels = batch
    defense = validate(Defense, {**load_preset("pat").fields, "adversarial_fraction": 1.0})
    result = training_step(model, defense, Beyond(0.1), Recipe().make_optimizer(model), images, labels)
    assert (images + 0.3).clamp(0, 1).sub(images).max() > 0.1
    expected = F.cross_entropy(twin.train()((images + 3 * 0.1).clamp(0, 1)), labels)
    torch.testing.assert_close(result.terms["cross_entropy"], expected)


class Shifted(Term):
    """Moves every weight by as much while the step learns, as a perturbation of the weights does."""

    by: float = 0.01

    @contextmanager
    def around(self, model, images, labels):
        del images, labels
        with torch.no_grad():
            before = [parameter.clone() for parameter in model.parameters()]
            for parameter in model.parameters():
                parameter.add_(self.by)
        yield
        with torch.no_grad():
            for parameter, old in zip(model.parameters(), before, strict=True):
                parameter.copy_(old)

    def __call__(self, views, adversarial_fraction):
        del adversarial_fraction
        return views.adversarial.new_zeros(())


def test_a_term_may_perturb_the_weights_that_a_step_learns_at(model, batch):
    """The gradient is that at the perturbed weights, and the step is taken from the weights themselves."""
    twin = copy.deepcopy(model)
    images, labels = batch
    terms = {"cross_entropy": {"images": "adversarial"}, "shifted": Shifted(by=0.01)}
    defense = validate(Defense, {"name": "awp", "adversarial_fraction": 1.0, "terms": terms})
    training_step(model, defense, ATTACK, Recipe().make_optimizer(model), images, labels)

    adversarial = ATTACK(twin, images, labels)
    moved = copy.deepcopy(twin)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(0.01)
    F.cross_entropy(moved.train()(adversarial), labels).backward()
    optimizer = Recipe().make_optimizer(twin)
    for parameter, perturbed in zip(twin.parameters(), moved.parameters(), strict=True):
        parameter.grad = perturbed.grad
    optimizer.step()
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(model.get_parameter(name), parameter, rtol=1e-6, atol=1e-9, msg=name)
