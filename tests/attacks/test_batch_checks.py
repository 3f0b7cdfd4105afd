"""What no attack takes: every one of them says so in a sentence, before it begins."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from atlpa.attacks import APGD, BSR, FAB, FMN, NFGSM, PGD, RSFGSM, VMIFGSM, AutoAttack, Noise, Square

ATTACKS = {
    "pgd": PGD(iterations=2),
    "restarts": PGD(iterations=2, start="uniform", restarts=2),
    "kl": PGD(iterations=2, start="uniform", loss="kl"),
    "apgd": APGD(iterations=2),
    "rs_fgsm": RSFGSM(),
    "n_fgsm": NFGSM(),
    "vmi_fgsm": VMIFGSM(iterations=2, neighbors=1),
    "fab": FAB(iterations=2),
    "fmn": FMN(iterations=2),
    "pgd in L2": PGD(iterations=2, start="uniform", norm="L2"),
    "square": Square(iterations=3),
    "autoattack": AutoAttack(),
    "noise": Noise(),
}
STEPWISE = [
    PGD(0.1, 0.02, 6),
    PGD(0.1, 0.02, 6, start="uniform"),
    APGD(0.1, 6),
    APGD(0.1, 6, loss="dlr", target=2),
    FAB(0.1, 6),
    Square(0.1, 50),
    PGD(0.1, 0.02, 6, start="uniform", norm="L2"),
    APGD(0.1, 6, norm="L2"),
    FAB(0.1, 6, norm="L2"),
    FMN(0.1, 6),
    FMN(0.1, 6, norm="L2"),
    Square(0.1, 50, norm="L2"),
]
every = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
DIVIDE = "divide 8-bit pixels by 255"


def one_pixel(images, value):
    images = images.clone()
    images[3, 1, 2, 5] = value
    return images


@every
@pytest.mark.parametrize("way", ["call", "iterates"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x * 255, y), rf"images from 0\.\d+ to 2\d\d\.\d+; attacks take images in \[0, 1\]: {DIVIDE}"),
        (lambda x, y: ((x - 0.45) / 0.22, y), r"images from -2\.\d+ to 2\.\d+; .* normalize inside the model"),
        (lambda x, y: (one_pixel(x, -0.001), y), r"images from -0\.001 to 0\.9"),
        (lambda x, y: (one_pixel(x, 1.0001), y), r"to 1\.0001; attacks take images in \[0, 1\]"),
        (lambda x, y: (one_pixel(x, torch.nan), y), r"images from nan to nan; attacks take images in \[0, 1\]"),
        (lambda x, y: ((255 * x).byte(), y), rf"images of type torch\.uint8; .* {DIVIDE}"),
        (lambda x, y: (x, y - 3), r"labels from -3; give classes counted from 0"),
        (lambda x, y: (x, y.float()), r"labels of type torch\.float32; give integer classes"),
        (lambda x, y: (x, y > 2), r"labels of type torch\.bool; give integer classes"),
        (lambda x, y: (x, y[:7]), r"labels \(7,\) for images \(12, 3, 16, 16\); give one class for each image"),
        (lambda x, y: (x, y[:, None]), r"labels \(12, 1\) for images"),
        (lambda x, y: (x[0], y[:1]), r"labels \(1,\) for images \(3, 16, 16\); .*\(B,\) for \(B, 3, H, W\)"),
    ],
)
def test_bad_input_is_refused_with_its_range_and_the_remedy(attack, way, change, message, small_cnn, images, labels):
    labels[0] = 0
    images, labels = change(images, labels)
    with pytest.raises(ValueError, match=message):
        attack(small_cnn, images, labels) if way == "call" else next(attack.iterates(small_cnn, images, labels))


@pytest.mark.parametrize(
    "attack",
    [
        *(PGD(iterations=1, loss=loss) for loss in ("cross_entropy", "margin", "dlr")),
        *(ATTACKS[name] for name in ("kl", "restarts", "apgd", "n_fgsm", "vmi_fgsm", "fab", "square", "autoattack")),
    ],
    ids=str,
)
def test_a_label_that_is_no_class_of_the_model(attack, small_cnn, images, labels):
    labels[7] = 5
    with pytest.raises(ValueError, match="label 5 but 5 classes; labels are counted from 0"):
        attack(small_cnn, images, labels)
    with pytest.raises(ValueError, match="label 5 but 5 classes"):
        next(attack.iterates(small_cnn, images, labels))


@every
def test_the_result_is_part_of_no_graph(attack, small_cnn, images, labels):
    """Images that come out of a generative model or want a gradient themselves give what their values give."""

    def attacked(images, labels):
        torch.manual_seed(0)
        return attack(small_cnn.float(), images, labels, generator=torch.Generator().manual_seed(0))

    images = images.float()
    expected, wanted = attacked(images, labels), images.clone().requires_grad_(True)
    for check_batch in (wanted, wanted * 1):
        found = attacked(check_batch, labels)
        assert not found.requires_grad
        assert torch.equal(found, expected)
        assert not any(x.requires_grad for x in attack.iterates(small_cnn, check_batch, labels))
    assert wanted.grad is None
    assert torch.equal(attacked(images, labels.int()), expected)
    assert torch.equal(attacked(images, labels.byte()), expected)


@pytest.mark.parametrize("attack", STEPWISE, ids=lambda attack: attack.name)
def test_single_steps_are_part_of_no_graph_either(attack, small_cnn, images, labels):
    wanted = images.clone().requires_grad_(True)
    begin = attack.begin(small_cnn, wanted, labels)
    following, fools = attack.advance(small_cnn, begin, wanted, labels)
    assert fools.dtype == torch.bool
    assert not any(part.requires_grad for state in (begin, following) for part in state)


@pytest.mark.parametrize("attack", STEPWISE, ids=lambda attack: attack.name)
def test_steps_of_a_part_of_a_batch_are_those_of_the_whole(attack, small_cnn, images, labels):
    """Whoever leaves, joins or is ahead: no image notices who shares its pass."""
    model, draws = small_cnn.eval(), [torch.Generator().manual_seed(seed) for seed in range(12)]
    state = attack.begin(model, images, labels, draws)
    few = torch.tensor([7, 2, 5])
    part = state[few]
    for _ in range(6):
        state, _ = attack.advance(model, state, images, labels)
    for _ in range(3):
        part, _ = attack.advance(model, part, images[few], labels[few])
    mixed = torch.cat([images[few], images[:2]]), torch.cat([labels[few], labels[:2]])
    part = part + attack.begin(model, images[:2], labels[:2], [torch.Generator().manual_seed(seed) for seed in (0, 1)])
    for _ in range(3):
        part, _ = attack.advance(model, part, *mixed)
    for expected, found in zip(state[few], part[:3], strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["pgd", "apgd", "n_fgsm", "vmi_fgsm", "square", "noise"])
def test_the_ends_of_the_range_are_in_it(name, small_cnn, images, labels):
    black_and_white = images.round()
    assert black_and_white.unique().tolist() == [0, 1]
    assert ATTACKS[name](small_cnn, black_and_white, labels).shape == images.shape


@pytest.mark.parametrize(
    "attack",
    [
        PGD(iterations=2, restarts=3, start="uniform"),
        APGD(iterations=2),
        NFGSM(),
        BSR(iterations=1, copies=1),
        Square(iterations=2),
        Noise(),
    ],
)
def test_no_image_is_no_error(attack):
    adversarial = attack(lambda x: x.flatten(1)[:, :5], torch.rand(0, 3, 8, 8), torch.zeros(0, dtype=torch.long))
    assert adversarial.shape == (0, 3, 8, 8)


class Counting(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[func.overloadpacket] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "attack",
    [
        PGD(iterations=6, restarts=3, start="uniform"),
        APGD(iterations=30),
        BSR(iterations=2, copies=2),
        Square(iterations=20),
        Noise(),
    ],
    ids=str,
)
def test_looked_at_once_an_attack(attack, small_cnn, images, labels):
    """Images and labels, whatever the number of iterations and restarts; and read out in one go."""
    with Counting() as counting:
        attack(small_cnn, images, labels)
    assert counting.calls[torch.ops.aten.aminmax] == 2
    assert sum(calls for op, calls in counting.calls.items() if "local_scalar" in str(op)) == 0


@pytest.mark.parametrize("name", ["pgd", "kl", "apgd", "rs_fgsm", "fab", "square", "vmi_fgsm"])
@pytest.mark.parametrize("given", ["tuple", "(4, 5, 1, 1)"])
def test_what_gives_no_logits_is_told_so(name, given):
    logits = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 5))
    model = {"tuple": lambda x: (logits(x), x), "(4, 5, 1, 1)": lambda x: logits(x)[..., None, None]}[given]
    with pytest.raises(ValueError, match=r"the model gave .*; it must give logits"):
        ATTACKS[name](model, torch.rand(4, 3, 8, 8), torch.arange(4))
