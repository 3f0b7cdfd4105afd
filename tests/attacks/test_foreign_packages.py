"""Attacks of other packages are theirs, pixel by pixel, and what holds of ours holds of them."""

import random
from math import inf

import numpy as np
import pytest
import torch
from torch import nn

from atlpa.attacks import PGD, AutoAttack, read_attack
from atlpa.errors import UserError
from atlpa.evaluation import evaluate
from atlpa.model_state import RandomLayer
from atlpa.randomness import sample

EPSILON, STEP = 8 / 255, 2 / 255
SEED = 5


@pytest.fixture
def case(small_cnn, images, labels):
    """A float32 network in training mode with gradients of its own, images and labels: two packages take no other."""
    model = small_cnn.float()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    return model, images.float(), labels


def by_torchattacks(model, images, labels, start):
    package = pytest.importorskip("torchattacks")
    return package.PGD(model, eps=EPSILON, alpha=STEP, steps=4, random_start=start)(images, labels)


def by_torchattack(model, images, labels, start):
    package = pytest.importorskip("torchattack")
    attack = package.PGD(model, None, torch.device("cpu"), eps=EPSILON, alpha=STEP, steps=4, random_start=start)
    return attack(images, labels)


def by_foolbox(model, images, labels, start):
    package = pytest.importorskip("foolbox")
    attack = package.attacks.LinfPGD(abs_stepsize=STEP, steps=4, random_start=start)
    _, clipped, _ = attack(package.PyTorchModel(model, bounds=(0, 1)), images, labels, epsilons=EPSILON)
    return clipped


def by_art(model, images, labels, start):
    pytest.importorskip("art")
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(model, nn.CrossEntropyLoss(), (3, 16, 16), 5, clip_values=(0, 1), device_type="cpu")
    settings = {"norm": inf, "eps": EPSILON, "eps_step": STEP, "max_iter": 4, "num_random_init": int(start)}
    attack = ProjectedGradientDescent(classifier, verbose=False, **settings)
    return torch.from_numpy(attack.generate(x=images.numpy(), y=labels.numpy()))


PEERS = {
    "torchattacks:PGD": (by_torchattacks, {"alpha": STEP, "steps": 4}, "random_start"),
    "torchattack:PGD": (by_torchattack, {"alpha": "2/255", "steps": 4}, "random_start"),
    "foolbox:LinfPGD": (by_foolbox, {"abs_stepsize": "2/255", "steps": 4}, "random_start"),
    "art:ProjectedGradientDescent": (by_art, {"eps_step": STEP, "max_iter": 4}, "num_random_init"),
}


@pytest.mark.parametrize("start", [False, True], ids=["zero start", "random start"])
@pytest.mark.parametrize("name", PEERS)
def test_is_the_other_packages_attack_and_leaves_everything_as_found(case, name, start):
    """Each called as its manual says, on a network in evaluation mode, from generators with the same seed."""
    model, images, labels = case
    call, settings, starts = PEERS[name]
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    theirs = call(model.eval(), images, labels, start).detach()

    for parameter in model.train().parameters():
        parameter.grad = torch.ones_like(parameter)
    next(model.parameters()).requires_grad_(False)
    numbers = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    settings = settings | {starts: int(start) if starts == "num_random_init" else start}
    attack = read_attack({"name": name, "epsilon": EPSILON, **settings})
    found = attack(model, images, labels, generator=torch.Generator().manual_seed(SEED))
    assert torch.equal(found, theirs)
    assert not torch.equal(found, images)
    assert all(module.training for module in model.modules())
    assert all(torch.all(parameter.grad == 1) for parameter in model.parameters())
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, True, True, True, True, True]
    assert torch.equal(torch.get_rng_state(), numbers[0])
    assert np.array_equal(np.random.get_state()[1], numbers[1])
    assert random.getstate() == numbers[2]


def test_auto_attack_is_its_packages(case):
    package = pytest.importorskip("pyautoattack")
    model, images, labels = case
    ensemble = package.AutoAttack(model.eval(), norm="Linf", eps=EPSILON, seed=SEED, version="standard", device="cpu")
    for attack in (ensemble.apgd_targeted, ensemble.fab):
        attack.n_target_classes = 4
    theirs, _ = ensemble.run_standard_evaluation(images, labels, batch_size=len(images))
    found = AutoAttack(EPSILON)(model.train(), images, labels, generator=torch.Generator().manual_seed(SEED))
    assert torch.equal(found, theirs)


@pytest.mark.parametrize(
    ("name", "norm", "settings"),
    [
        ("torchattacks:PGDL2", "L2", {"steps": 2}),
        ("torchattacks:APGD", "L2", {"norm": "L2", "steps": 2}),
        ("torchattack:PGDL2", "L2", {"steps": 2}),
        ("foolbox:L2PGD", "L2", {"steps": 2}),
        ("foolbox:L2CarliniWagnerAttack", "L2", {"steps": 5, "binary_search_steps": 1}),
        ("foolbox:LinfDeepFoolAttack", "Linf", {}),
        ("art:FastGradientMethod", "L2", {"norm": "L2"}),
        ("art:FastGradientMethod", "L2", {"norm": 2}),
        ("art:FastGradientMethod", "Linf", {}),
        ("art:SquareAttack", "Linf", {"max_iter": 3}),
    ],
)
def test_norms_are_told_and_images_keep_to_the_ball(case, name, norm, settings):
    pytest.importorskip(name.partition(":")[0])
    model, images, labels = case
    attack = read_attack({"name": name, "epsilon": 0.3, **settings})
    assert attack.norm == norm
    with torch.no_grad():
        labels = model.eval()(images).argmax(dim=1)  # none is spared
    result = evaluate(model, images, labels, attack, seed=1)  # which refuses what leaves the ball
    nearest = "DeepFool" in name or "Carlini" in name
    assert (0 if nearest else 0.25) < result.perturbation.size.max() <= 0.3 + 1e-5


def far(model, eps=0.1):
    """A factory of one's own that ignores its ε."""
    return lambda images, _: images + 5 * eps


def test_what_leaves_the_ball_is_brought_back(case):
    model, images, labels = case
    found = read_attack({"name": f"{__name__}:far", "epsilon": 0.1})(model, images, labels)
    assert torch.equal(found, (images + 0.1).clamp(max=1))


seen = []


def meddler(model, eps=0.1):
    """It leaves a hook, takes the model apart and clears its gradients."""
    seen[:] = [parameter.data_ptr() for parameter in model.parameters()]
    model.register_forward_hook(lambda *_: None)
    model.zero_grad()
    model[0] = nn.Conv2d(3, 8, 3, stride=2)
    return lambda images, _: images + eps


def test_a_model_cannot_be_taken_apart_and_its_weights_are_not_copied(case):
    model, images, labels = case
    first = model[0]
    read_attack({"name": f"{__name__}:meddler", "epsilon": 0.1})(model, images, labels)
    assert seen == [parameter.data_ptr() for parameter in model.parameters()]
    assert model[0] is first
    assert not model._forward_hooks
    assert all(torch.all(parameter.grad == 1) for parameter in model.parameters())


class Uncopied(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def __deepcopy__(self, memo):
        raise RuntimeError("not copied")

    def forward(self, images):
        return self.network(images)


def test_models_that_cannot_be_copied_and_callables_will_do(case):
    pytest.importorskip("torchattacks")
    model, images, labels = case
    attack = read_attack({"name": "torchattacks:FGSM", "epsilon": 0.1})
    expected = attack(model, images, labels)
    assert torch.equal(attack(Uncopied(model), images, labels), expected)
    assert torch.equal(attack(model.eval().forward, images, labels), expected)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "torchattacks:PGDD"}, "unknown attack 'torchattacks:PGDD'; did you mean 'torchattacks:PGD'?"),
        ({"name": "foolbox:LinfPDG"}, "did you mean 'foolbox:LinfPGD'?"),
        ({"name": "art:ProjectedGradientDecent"}, "did you mean 'art:ProjectedGradientDescent'?"),
        ({"name": "torchattacks:PGD", "stepz": 3}, "unknown key 'stepz'; did you mean 'steps'?"),
        ({"name": "torchattacks:PGD", "steps": "many"}, "'many' is no number"),
        ({"name": "torchattacks:PGD", "steps": True}, "True; give a number, such as 10"),
        ({"name": "torchattacks:PGD", "random_start": 1}, "1; give true or false"),
        ({"name": "torchattacks:PGD", "epsilon": 8}, r"8 is outside \[0, 1\]"),
        ({"name": "art:DeepFool"}, "nor has it an argument eps beside its model"),
        ({"name": "art:BoundaryAttack"}, "nor has it an argument eps beside its model"),
    ],
)
def test_what_is_refused(fields, words):
    pytest.importorskip(fields["name"].partition(":")[0])
    with pytest.raises(ValueError, match=words):
        read_attack(fields)


def test_settings_that_the_package_refuses_are_its_own_words(case):
    pytest.importorskip("art")
    attack = read_attack({"name": "art:ProjectedGradientDescent", "max_iter": -1})
    with pytest.raises(UserError, match=r"art:ProjectedGradientDescent cannot be made with these settings: .*iter"):
        attack(*case)


@pytest.mark.parametrize(("name", "install"), [("foolbox:LinfPGD", "foolbox"), ("art:DeepFool", "adversarial-")])
def test_a_package_that_is_not_installed_is_named(monkeypatch, name, install):
    monkeypatch.setattr("atlpa.attacks.foreign_packages.find_spec", lambda _: None)
    with pytest.raises(UserError, match=f"attack '{name}' needs the package {install}.*; pip install {install}"):
        read_attack({"name": name})


@pytest.mark.parametrize("name", ["torchattacks:FGSM", "foolbox:FGSM", "art:FastGradientMethod", "torchattack:FGSM"])
def test_images_are_looked_at_before_they_are_given_away(case, name):
    pytest.importorskip(name.partition(":")[0])
    model, images, labels = case
    attack = read_attack({"name": name, "epsilon": 0.1})
    with pytest.raises(ValueError, match=r"take images in \[0, 1\]: divide 8-bit pixels by 255, and normalize inside"):
        attack(model, images * 2 - 1, labels)
    with pytest.raises(ValueError, match=r"images of type torch\.uint8; attacks take floats"):
        attack(model, (images * 255).byte(), labels)


def test_float64_images_too(case):
    """One of them computes in float32 whatever it is given."""
    pytest.importorskip("art")
    model, images, labels = case
    found = read_attack({"name": "art:FastGradientMethod", "epsilon": 0.1})(model.double(), images.double(), labels)
    expected = PGD(0.1, 0.1, 1)(model, images.double(), labels)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "autoattack", "epsilon": 0.5},
        {"name": "torchattacks:PGD", "epsilon": 0.5, "steps": 2},
        {"name": "torchattacks:AutoAttack", "epsilon": 0.5, "n_classes": 5},
    ],
    ids=lambda fields: fields["name"],
)
def test_a_network_that_draws_is_asked_for_any_images_of_a_batch(fields):
    """Packages show a part of the batch alone, such as what still stands; here each image has its own generator."""
    pytest.importorskip("pyautoattack" if fields["name"] == "autoattack" else "torchattacks")
    torch.manual_seed(0)
    noise = RandomLayer(lambda images, draws: images + 0.001 * sample(images, torch.randn, draws), in_training=False)
    model = nn.Sequential(noise, nn.Flatten(), nn.Linear(3 * 4 * 4, 5)).eval()
    images = torch.rand(6, 3, 4, 4)
    labels = model(images).argmax(dim=1)
    first, again = (evaluate(model, images, labels, read_attack(fields), draws=2, seed=0) for _ in range(2))
    assert first.clean.all()
    assert not first.robust[-1].all()  # of a linear network, at this ε
    assert torch.equal(first.robust, again.robust)
    assert noise.generators is None
