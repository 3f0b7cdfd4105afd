"""One step of training against the same step written out by hand."""

import copy

import pytest
import torch
from torch.nn import functional as F

from atlpa.attacks import PGD, Attack
from atlpa.component import validate
from atlpa.defenses import Defense, load_preset, preset_names
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


# What ibp adds passes no network but its layers: tests/bounds.
COSTS = [(name, {}) for name in preset_names() if name != "ibp"] + [
    (name, {"awp": {}}) for name in ("igr", "grad_align")
]


@pytest.mark.parametrize(("preset", "changes"), COSTS)
def test_a_step_costs_what_it_claims(model, batch, preset, changes):
    """Forwards counted in images at the network, backwards where gradients reach its logits."""
    passes = {"forward": 0.0, "backward": 0.0}

    def count(_module, _inputs, logits):
        share = len(logits) / len(batch[0])
        passes["forward"] += share
        if logits.requires_grad:
            logits.register_hook(lambda _: passes.__setitem__("backward", passes["backward"] + share))

    model.register_forward_hook(count)
    step(model, preset, batch, **changes)
    cost = validate(Defense, {**load_preset(preset).fields, **changes}).cost(ATTACK)
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


def test_mart_step_weighs_agreement_by_what_is_not_recognized(model, batch):
    """The loss as the authors write it down, image by image and class by class."""
    twin = copy.deepcopy(model)
    images, labels = batch
    defense = validate(Defense, load_preset("mart").fields)
    attack = defense.training_attack(ATTACK)
    draw = torch.Generator().manual_seed(7)
    training_step(model, defense, attack, Recipe().make_optimizer(model), images, labels, draw.clone_state())

    adversarial = attack(twin, images, labels, generator=draw)
    p, attacked = twin.train()(torch.cat([images, adversarial])).softmax(dim=1).chunk(2)
    loss = torch.zeros((), dtype=torch.float64)
    for i, y in enumerate(labels.tolist()):
        wrong = max(attacked[i, j] for j in range(7) if j != y)
        divergence = sum(p[i, j] * torch.log(p[i, j] / (attacked[i, j] + 1e-12)) for j in range(7))
        loss += -attacked[i, y].log() - torch.log(1.0001 - wrong + 1e-12) + 6 * divergence * (1.0000001 - p[i, y])
    (loss / 4).backward()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, twin.get_parameter(name).grad, rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("preset", ["trades_original", "trades_awp"])
def test_trades_by_its_authors_takes_ten_steps_up_the_divergence_wherever_epsilon_is(preset):
    attack = validate(Defense, load_preset(preset).fields).training_attack(PGD(8 / 255, 2 / 255, 2))
    assert attack == PGD(8 / 255, 2 / 255, 10, loss="kl", start="gaussian")
