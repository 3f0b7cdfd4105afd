"""Our attacks as other packages call theirs: the same images as ours give directly, beside the packages' own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from atlpa.attacks import FMN, PGD, AsART, AsFoolbox, AsTorchattacks, Square

ATTACK = PGD(8 / 255, 2 / 255, 4)


@pytest.fixture
def case(small_cnn, images, labels):
    return small_cnn.float().eval(), images.float(), labels


@pytest.mark.parametrize("attack", [ATTACK, Square(0.1, 5)], ids=lambda attack: attack.name)
def test_as_torchattacks(case, attack):
    """Randomness is torch's own, as it is theirs."""
    model, images, labels = case
    torch.manual_seed(0)
    expected = attack(model, images, labels)
    torch.manual_seed(0)
    assert torch.equal(AsTorchattacks(attack, model)(images, labels), expected)


def test_as_torchattack_with_its_normalization(case):
    """What it keeps beside the model belongs inside of it; torchattack's own PGD goes the same way."""
    package = pytest.importorskip("torchattack")
    model, images, labels = case
    normalize = lambda shown: (shown - 0.5) / 0.25  # noqa: E731
    settings = {"eps": ATTACK.epsilon, "alpha": ATTACK.step, "steps": 4, "random_start": False}
    theirs = package.PGD(model, normalize, images.device, **settings)(images, labels)
    ours = AsTorchattacks(ATTACK, lambda shown: model(normalize(shown)))(images, labels)
    torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-6)


def test_as_foolbox(case):
    package = pytest.importorskip("foolbox")
    model, images, labels = case
    wrapped = package.PyTorchModel(model, bounds=(0, 1))
    raw, clipped, success = AsFoolbox(ATTACK)(wrapped, images, labels, epsilons=ATTACK.epsilon)
    assert torch.equal(raw, ATTACK(model, images, labels))
    assert torch.equal(clipped, raw)
    with torch.no_grad():
        assert torch.equal(success, model(raw).argmax(dim=1) != labels)
    theirs = package.attacks.LinfPGD(abs_stepsize=ATTACK.step, steps=4, random_start=False)
    for found, expected in zip(
        AsFoolbox(ATTACK)(wrapped, images, package.Misclassification(labels), epsilons=ATTACK.epsilon),
        theirs(wrapped, images, labels, epsilons=ATTACK.epsilon),
        strict=True,
    ):
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_as_foolbox_at_several_radii_and_with_its_tensors(case):
    """As its README has it: ``1 - success.float32().mean(axis=-1)``."""
    package = pytest.importorskip("foolbox")
    import eagerpy

    model, images, labels = case
    wrapped = package.PyTorchModel(model, bounds=(0, 1))
    given = eagerpy.astensors(images, labels)
    radii = [0.0, 0.01, 0.3]
    raw, clipped, success = AsFoolbox(ATTACK)(wrapped, *given, epsilons=radii)
    assert [torch.equal(one.raw, images) for one in raw] == [True, False, False]
    assert len(clipped) == 3
    standing = 1 - success.float32().mean(axis=-1)
    assert standing.shape == (3,)
    with torch.no_grad():
        for row, radius in enumerate(radii):
            expected = model(ATTACK.at(radius)(model, images, labels)).argmax(dim=1) == labels
            assert standing[row].item() == pytest.approx(expected.float().mean().item())


def test_as_foolbox_refuses_what_it_cannot_mean(case):
    package = pytest.importorskip("foolbox")
    model, images, labels = case
    attack, wrapped = AsFoolbox(ATTACK), package.PyTorchModel(model, bounds=(0, 1))
    with pytest.raises(ValueError, match=r"bounds \(-1, 1\); give PyTorchModel\(…, bounds=\(0, 1\)\)"):
        attack(package.PyTorchModel(model, bounds=(-1, 1)), images, labels, epsilons=0.1)
    with pytest.raises(ValueError, match="the criterion TargetedMisclassification; give the labels"):
        attack(wrapped, images, package.TargetedMisclassification(labels), epsilons=0.1)
    with pytest.raises(ValueError, match="epsilons None; give ε as a number"):
        attack(wrapped, images, labels, epsilons=None)
    with pytest.raises(ValueError, match="normalize inside the model"):
        attack(wrapped, images - 0.5, labels, epsilons=0.1)
    with pytest.raises(ValueError, match=r"images of type torch\.int64"):
        attack(wrapped, images.long(), labels, epsilons=0.1)


def estimator(model, **options):
    pytest.importorskip("art")
    from art.estimators.classification import PyTorchClassifier

    settings = {"clip_values": (0, 1), "device_type": "cpu", **options}
    return PyTorchClassifier(model, nn.CrossEntropyLoss(), (3, 16, 16), 5, **settings)


def test_as_art(case):
    """Arrays of any float, classes or one-hot; without labels what the estimator predicts."""
    model, images, labels = case
    attack = AsART(ATTACK, estimator(model))
    pixels, expected = images.numpy(), ATTACK(model, images, labels).numpy()
    for y in (labels.numpy(), np.eye(5)[labels.numpy()]):
        assert np.array_equal(attack.generate(pixels, y), expected)
    found = attack.generate(x=pixels.astype(np.float64), y=labels.numpy())
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)
    with torch.no_grad():
        predicted = model(images).argmax(dim=1)
    assert np.array_equal(attack.generate(pixels), ATTACK(model, images, predicted).numpy())


def test_as_art_with_the_estimators_standardization(case):
    """ART's own PGD on the same estimator goes the same way."""
    model, images, labels = case
    standardizing = estimator(model, preprocessing=(0.5, 0.25))
    from art.attacks.evasion import ProjectedGradientDescent

    settings = {"eps": ATTACK.epsilon, "eps_step": ATTACK.step, "max_iter": 4, "verbose": False}
    theirs = ProjectedGradientDescent(standardizing, **settings).generate(images.numpy(), labels.numpy())
    found = AsART(ATTACK, standardizing).generate(images.numpy(), labels.numpy())
    np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-6)
    assert not np.allclose(found, AsART(ATTACK, estimator(model)).generate(images.numpy(), labels.numpy()))


def test_as_art_attacks_in_evaluation_mode_and_refuses_other_images(case):
    model, images, labels = case
    attack = AsART(FMN(0.1, 3), estimator(model))
    expected = FMN(0.1, 3)(model, images, labels).numpy()
    model.train()
    assert np.array_equal(attack.generate(images.numpy(), labels.numpy()), expected)
    assert model.training
    with pytest.raises(ValueError, match="normalize inside the model"):
        attack.generate(images.numpy() - 0.5, labels.numpy())
    with pytest.raises(ValueError, match=r"images of type torch\.uint8"):
        attack.generate((255 * images.numpy()).astype(np.uint8), labels.numpy())
    with pytest.raises(ValueError, match=r"clip values .*; give PyTorchClassifier\(…, clip_values=\(0, 1\)\)"):
        AsART(ATTACK, estimator(model, clip_values=(0, 255))).generate(images.numpy(), labels.numpy())


def test_the_pages_snippets_run(case):
    package = pytest.importorskip("foolbox")
    pytest.importorskip("torchattacks")
    model, images, labels = case
    page = (Path(__file__).parents[2] / "docs" / "other-packages.md").read_text()
    fmodel, classifier = package.PyTorchModel(model, bounds=(0, 1)), estimator(model)
    names = {"model": model, "images": images, "labels": labels, "fmodel": fmodel, "classifier": classifier}
    for block in page.split("```python\n")[1:]:
        exec(block.partition("```")[0], names)
    assert torch.equal(torch.from_numpy(names["arrays"]), names["adversarial"])
    assert torch.equal(names["raw"][1], names["adversarial"])
    assert names["success"].shape == (2, len(labels))
