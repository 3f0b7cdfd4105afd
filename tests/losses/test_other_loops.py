"""The losses in other people's training loops: compiled, vectorized, channels last, in processes, in frameworks."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

from atlpa.losses import ATLPALoss, attention_map, attention_map_loss, kl_pairing_loss
from atlpa.process_group import joined
from tests.losses.test_inputs import ALL, pair, whole
from tests.together import processes

EVERY = [*ALL, whole]


def gradients(loss, logits):
    points = [one.clone().requires_grad_() for one in logits]
    value = loss(*points)
    # A loss of the adversarial logits alone leaves the others without one.
    return value, torch.autograd.grad(value, points, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("loss", EVERY)
def test_compiled_without_a_break(loss):
    """The whole graph is captured; it gives the value and the gradients that running each line does."""
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    for found, expected in zip(gradients(compiled, pair()), gradients(loss, pair()), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("loss", EVERY)
def test_vectorized_over_batches_and_differentiated_by_torch_func(loss):
    batches = [torch.stack([one, -one, one.flip(0)]) for one in pair()]
    found = torch.func.vmap(loss)(*batches)
    expected = torch.stack([loss(*batch) for batch in zip(*batches, strict=True)])
    torch.testing.assert_close(found, expected)
    slopes = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1)))(*batches)
    for place, batch in enumerate(zip(*batches, strict=True)):
        _, (clean, adversarial) = gradients(loss, batch)
        torch.testing.assert_close((slopes[0][place], slopes[1][place]), (clean, adversarial))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_maps_may_have_their_channels_last(dtype):
    clean, adversarial = (torch.randn(3, 6, 4, 5).to(dtype).requires_grad_() for _ in "oa")
    last = [one.detach().to(memory_format=torch.channels_last).requires_grad_() for one in (clean, adversarial)]
    torch.testing.assert_close(attention_map(last[0]), attention_map(clean))
    values = attention_map_loss([clean], [adversarial]), attention_map_loss(last[:1], last[1:])
    torch.testing.assert_close(*values)
    for one, other in zip(
        torch.autograd.grad(values[0], (clean, adversarial)), torch.autograd.grad(values[1], last), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_divergence_is_torchs():
    clean, adversarial = pair()
    expected = F.kl_div(adversarial.log_softmax(1), clean.log_softmax(1), reduction="batchmean", log_target=True)
    torch.testing.assert_close(kl_pairing_loss(clean, adversarial), expected)


class Loop(nn.Module):
    """A network of one stage that gives its map too, as DistributedDataParallel wants of what is learned from."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stage, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 6)

    def forward(self, images):
        features = self.stage(images).relu()
        return self.head(features.mean(dim=(2, 3))), features


def one_step(rows, wrap=lambda model: model):
    """Gradients of Eq. 2 on some rows of a batch."""
    draw = torch.Generator().manual_seed(1)
    images, adversarial = (torch.rand(8, 3, 6, 6, generator=draw) for _ in "oa")
    model = wrap(Loop())
    logits, features = model(torch.cat([images[rows], adversarial[rows]]))
    terms = ATLPALoss(0.5, 2.0).joined(logits, torch.arange(8)[rows] % 6, [features])
    sum(terms.values()).backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


def in_two_processes():
    with joined() as together:
        rank = together.rank
        found = one_step(slice(4 * rank, 4 * rank + 4), DistributedDataParallel)
        return [gradient.tolist() for gradient in found]  # a tensor would end with its process


def test_in_two_processes():
    """Of equal parts the mean is that of the whole batch."""
    expected = one_step(slice(0, 8))
    for found in processes(2, in_two_processes):
        torch.testing.assert_close([torch.tensor(one) for one in found], expected)


def test_is_a_module_like_torchs_own():
    """As a part of another module it adds no state and no parameter, and follows its ``to`` and modes."""
    whole_model = nn.ModuleDict({"network": nn.Linear(3, 6), "objective": ATLPALoss(beta=0)})
    assert list(whole_model.state_dict()) == ["network.weight", "network.bias"]
    assert [name for name, _ in whole_model.named_parameters()] == ["network.weight", "network.bias"]
    objective = whole_model.to(torch.bfloat16).eval()["objective"]
    assert not objective.training
    logits, labels = [one[:, :6].bfloat16() for one in pair()], torch.arange(6)
    terms = objective(*logits, labels)
    expected = ATLPALoss(beta=0)(*(one.double() for one in logits), labels)
    for name, term in terms.items():
        assert term.dtype == torch.float32
        assert term.item() == pytest.approx(expected[name].item(), rel=1e-5)
    assert "(objective): ATLPALoss(alpha=0.1, beta=0, " in repr(whole_model)


def snippets():
    page = (Path(__file__).parents[2] / "docs" / "losses.md").read_text()
    return [block.partition("```")[0] for block in page.split("```python\n")[1:]]


@pytest.fixture
def loop():
    torch.manual_seed(0)
    model = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=6)
    data = TensorDataset(torch.rand(4, 3, 8, 8), torch.arange(4))
    return {"model": model, "loader": DataLoader(data, batch_size=2)}, model.fc.weight.detach().clone()


def test_the_pages_loops_are_short():
    assert [len(block.splitlines()) <= 25 for block in snippets()] == [True, True, True, True]


def test_the_pages_calls_of_single_losses():
    stages = [{"conv5_x": torch.rand(2, 4, 3, 3)} for _ in range(2)]
    logits = torch.randn(2, 2, 6)
    names = {"logits": logits[0], "logits_of_adversarial": logits[1]}
    names |= {"stages": stages[0], "stages_of_adversarial": stages[1]}
    head, *calls = snippets()[-1].strip().splitlines()
    exec(head, names)
    found = [eval(call.partition("  #")[0], names) for call in calls if call]
    assert len(found) == 4
    assert all(value.ndim == 0 and value >= 0 for value in found)


def test_the_pages_plain_loop(loop):
    names, before = loop
    exec(snippets()[0], names)
    assert names["terms"].keys() == {"cross_entropy", "tolerant_logit", "attention_map"}
    assert 0 < (names["adversarial"] - names["images"]).abs().max() <= 8 / 255 + 1e-6
    assert not torch.equal(names["model"].fc.weight, before)


@pytest.mark.filterwarnings("ignore")  # its own, of loaders and loggers
def test_the_pages_loop_for_lightning(loop):
    lightning = pytest.importorskip("lightning")
    names, before = loop
    exec(snippets()[1], names)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(max_steps=1, accelerator="cpu", **quiet)
    trainer.fit(names["Robust"](names["model"]), names["loader"])
    assert trainer.callback_metrics.keys() == {"cross_entropy", "tolerant_logit", "attention_map"}
    assert not torch.equal(names["model"].fc.weight, before)


def test_the_pages_loop_for_accelerate(loop):
    pytest.importorskip("accelerate")
    names, before = loop
    exec(snippets()[2], names)
    assert not torch.equal(names["network"].fc.weight, before)
