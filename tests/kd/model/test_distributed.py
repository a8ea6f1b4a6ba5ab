"""The processes of a step: one, or those that torchrun's environment describes."""

import pytest
import torch
from torch import distributed, nn

from kd.errors import InputError
from kd.model.distributed import SINGLE, Processes, _choose_kernels, init_distributed

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


def test_without_torchrun_this_process_is_the_main_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with init_distributed() as processes:
        assert (processes.rank, processes.world_size, processes.is_main) == (0, 1, True)
        assert not distributed.is_initialized()
        module = nn.Linear(1, 1)
        assert processes.wrap(module) is module
        processes.barrier()


def test_the_process_group_ends_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the block fails, so that a later training in this process can start one."""
    asked, ended = [], []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(distributed, "init_process_group", asked.append)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: ended.append(True))
    for name, value in zip(VARIABLES, ("1", "2", "1"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError), init_distributed() as processes:
        assert processes == Processes(1, 2, torch.device("cpu")) and not processes.is_main
        raise RuntimeError
    assert asked == ["gloo"] and ended == [True]


def test_a_module_without_parameters_is_not_wrapped() -> None:
    """DistributedDataParallel refuses it; the loss of a distillation without taps has none."""
    module = nn.ModuleDict()
    assert Processes(0, 2, torch.device("cpu")).wrap(module) is module


def test_one_process_has_all_items() -> None:
    assert SINGLE.own_indices(3) == SINGLE.own_indices(3, 2) == [0, 1, 2]
    assert SINGLE.gather([1, 2]) == [1, 2] and SINGLE.all_gather(3) == [3]


def test_every_item_is_the_share_of_one_process() -> None:
    shares = [Processes(rank, 3, torch.device("cpu")).own_indices(8) for rank in range(3)]
    assert sorted(item for share in shares for item in share) == list(range(8))
    assert [Processes(rank, 3, torch.device("cpu")).own_indices(8, 3) for rank in range(3)] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert [Processes(rank, 2, torch.device("cpu")).own_indices(8, 3) for rank in range(2)] == [[0, 1, 2, 6, 7], [3, 4, 5]]


class _Two(Processes):
    """The process of this rank, of two; the other one has met `error`."""

    def __init__(self, rank: int, error: Exception | None) -> None:
        super().__init__(rank, 2, torch.device("cpu"))
        object.__setattr__(self, "error", error)

    def all_gather(self, value: object) -> list:
        return [value, self.error] if self.is_main else [self.error, value]


@pytest.mark.parametrize("error", [InputError("here", "is wrong", "correct it"), OSError(28, "No space left on device", "here")])
def test_an_error_of_one_process_ends_all_and_the_main_process_reports_it(error: Exception) -> None:
    for own, other in ((error, None), (None, error), (error, error)):
        with pytest.raises(type(error)) as raised, _Two(0, other).together():
            _fail(own)
        assert raised.value is error
        with pytest.raises(SystemExit) as ended, _Two(1, other).together():
            _fail(own)
        assert not ended.value.code
    with pytest.raises(type(error)), SINGLE.together():
        _fail(error)
    with _Two(0, None).together(), _Two(1, None).together():
        pass


def _fail(error: Exception | None) -> None:
    if error:
        raise error


def test_batch_normalization_over_processes_needs_gpus() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    Processes(0, 1, torch.device("cpu")).synchronize_batch_norm(module)
    assert type(module[1]) is nn.BatchNorm2d
    with pytest.raises(InputError, match=r"^train\.sync_batch_norm: "):
        Processes(0, 2, torch.device("cpu")).synchronize_batch_norm(module)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    Processes(0, 2, torch.device("cuda")).synchronize_batch_norm(module)
    assert isinstance(module[1], nn.SyncBatchNorm)
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_kernels_of_a_gpu_can_be_chosen(deterministic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda mode, warn_only: chosen.append(mode))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", deterministic)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    _choose_kernels(deterministic)
    assert chosen == [deterministic] and torch.backends.cudnn.benchmark is not deterministic
