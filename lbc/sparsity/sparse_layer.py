"""One weight under an N:M pattern, attached through torch's parametrizations.

Its gradients are in ``lbc.sparsity.methods``, the forms in which scores are stored in
``trained_scores``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import lru_cache, partial
from operator import methodcaller
from typing import Any, Self
from weakref import WeakSet, ref

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from lbc.sparsity.layer_picture import LayerPicture
from lbc.sparsity.live_sets import (
    LiveSets,
    Sizes,
    best,
    keep_best,
    pack,
    rows_of,
)
from lbc.sparsity.method_options import Form, MethodOptions
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.state_identity import identity_tensor

CHUNK_CELLS = 1 << 18
"""Scores computed at a time while combinations are removed: 1 MiB, which a cache holds."""

HALF = (torch.float16, torch.bfloat16)
"""Types in which a network may compute, but scores are never stored."""

KEPT = ("packed", "mask", "identity")
"""What a state dict holds of a layer besides its scores; the last is absent in those of 0.1.0."""


@lru_cache(maxsize=64)
def incidence(pattern: Pattern, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The incidence A of a pattern, (C, M), made once for each device and type."""
    with torch.inference_mode(False):
        return pattern.incidence(device).to(dtype)


def whole(tensor: Tensor) -> Tensor:
    """The tensor; gathered from all processes if fully_shard has divided it among them."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


class SparseLayer(nn.Module):
    """The mask, live sets and scores of one weight.

    Weight, mask and what is stored per weight have the order (O, I, *kernel), whatever the module's
    own: see ``attachment.Transposed``.

    Mask and live sets are no buffers: DDP does not broadcast them in every step, and a model
    average does not average them. The layers of a ``torch.optim.swa_utils.AveragedModel`` have the
    masks of the model that is averaged, whatever is removed there.
    """

    form: Form | None = None
    """How scores are stored, if they are trained."""
    chooses_density = False
    """Whether a decided mask may keep fewer than N of every M, or all."""

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__()
        self.name = name
        self.pattern = pattern
        self.shape = tuple(weight.shape)
        self.blocks = weight.numel() // pattern.m
        self.live_sets = LiveSets(self.blocks, pattern.count, weight.device)
        self.mask = torch.ones_like(weight, dtype=torch.bool, requires_grad=False)
        self.method = ""
        self.options: MethodOptions | None = None
        self.parameter_order: tuple[str, ...] = ()
        self.copied_from: ref[SparseLayer] | None = None
        self.awaited_by: WeakSet[nn.Module] = WeakSet()
        self._fixed: tuple[Tensor, Tensor] | None = None
        self._froze = False
        self._followers: WeakSet[SparseLayer] = WeakSet()

    # -- what a form of scores defines ----------------------------------------------------------

    def score_parameters(self) -> tuple[nn.Parameter, ...]:
        """The trained tensors behind the scores: none if scores are not trained."""
        return (self.score_parameter(),)

    def score_parameter(self) -> nn.Parameter:
        """The trained tensor behind the scores."""
        raise NotImplementedError

    def block_scores(self, rows: slice | Tensor) -> Tensor:
        """Scores of some blocks, removed combinations included: (rows, C)."""
        raise NotImplementedError

    def position_scores(self) -> Tensor:
        """What each position adds to the scores of its combinations: (blocks, M)."""
        raise NotImplementedError

    def stored_scores(self) -> tuple[Tensor, bool]:
        """The scores as they are stored, read-only: (blocks, C), or, if the flag is True, what
        each position adds, shaped like the weight."""
        raise NotImplementedError

    def wanted(self, schedule: Schedule, epoch: float, /) -> int:
        """How many combinations of every block the method keeps at ``epoch``."""
        options = self.options
        at = schedule.live if options is None else partial(options.live, schedule)
        return at(self.pattern, epoch)

    def forget_removed(self, state: dict[str, Any], /) -> None:
        """Clear what an optimiser's state holds of removed combinations."""

    def see(self, weight: Tensor) -> None:
        """Take note of the weight, if scores are read off it."""

    def begin(self, weight: Tensor, /) -> None:
        """Set what the method fixes at the start from the weight that training starts from."""

    def finished(self, weight: Tensor) -> Tensor:
        """The weight that the finished model has, under the present mask."""
        return weight * self.mask

    def sync_live_sets(self) -> None:
        """Bring the live sets in line with the mask, if forward passes change it."""

    def pictures(self) -> dict[str, LayerPicture]:
        """What else there is to show of the layer, by labels, such as a soft mask."""
        return {}

    def release(self, module: nn.Module, /) -> None:
        """Leave the module of the weight: called before the layer is detached from it."""

    # -- reading --------------------------------------------------------------------------------

    @property
    def identity(self) -> str:
        """N:M, method and form of scores: a state of another one is not loaded."""
        return " ".join(filter(None, (str(self.pattern), self.method, self.form)))

    @property
    def searching(self) -> bool:
        """Whether the mask may still change."""
        return self.live_count > 1

    @property
    def live_count(self) -> int:
        """The most combinations that a block has left; interventions may leave others fewer."""
        return self.live_sets.most

    @property
    def density(self) -> float:
        """Share of this layer's weights that the mask keeps."""
        return float(self.mask.sum()) / self.mask.numel()

    @property
    def packed(self) -> Tensor:
        """Live bits, as ``LiveSets.bits``."""
        return self.live_sets.bits

    def live(self, rows: slice | Tensor = slice(None)) -> Tensor:
        """The live set: bool (rows, C)."""
        return self.live_sets.live(rows)

    @torch.no_grad()
    def scores(self, rows: slice | Tensor = slice(None)) -> Tensor:
        """Scores with −inf where removed: (rows, C)."""
        return self.live_sets.without_removed(self.block_scores(rows), rows)

    @torch.no_grad()
    def winners(self) -> Tensor:
        """The best live combination of every block, the earliest among equals: int64 (blocks,)."""
        return torch.cat([scores.argmax(dim=1) for _, scores in self._all_scores()])

    # -- removing -------------------------------------------------------------------------------

    def remove(self, live: int, /) -> None:
        """Keep the ``live`` best combinations of every block; what is removed stays removed.

        With one left the scores freeze. Nothing happens if no more than ``live`` are left.
        """
        self.apply_choice(*self.choose(live))

    @torch.inference_mode(False)
    @torch.no_grad()
    def choose(
        self,
        live: int,
        /,
        scored: Callable[[int], object] = lambda _: None,
        weight: Tensor | None = None,
    ) -> tuple[LiveSets, Tensor]:
        """Live sets and mask as ``remove`` would leave them; the layer does not change.

        ``scored`` is called with the number of scores compared, chunk by chunk. Among equal scores,
        such as all those of a layer that has not been trained, the combination with the largest
        Σ|w| of ``weight``, (O, I, *kernel), wins; without it, or if these are equal, the earliest.
        """
        if live >= self.live_count:
            return self.live_sets, self.mask
        kept = self.mask.new_empty((self.blocks, self.pattern.m))
        sizes = Sizes(self.mask if weight is None else weight, self.pattern)
        if live == 1:
            winners = torch.empty(self.blocks, dtype=torch.int32, device=self.mask.device)
            holding = incidence(self.pattern, self.mask.device, torch.bool)
            for rows, scores in self._all_scores():
                winner = best(scores, sizes.of(rows))
                winners[rows], kept[rows] = winner.int(), holding.index_select(0, winner)
                scored(scores.numel())
            return self._live_sets(winners=winners), self._mask_of(kept)
        width = -(-self.pattern.count // 8)
        bits = torch.empty((self.blocks, width), dtype=torch.uint8, device=self.mask.device)
        holding = incidence(self.pattern, self.mask.device, torch.float32)
        for rows, scores in self._all_scores():
            chunk = keep_best(scores, live, sizes.of(rows))
            bits[rows] = pack(chunk)
            kept[rows] = chunk.float() @ holding > 0
            scored(chunk.numel())
        return self._live_sets(bits=bits), self._mask_of(kept)

    def apply_choice(self, live_sets: LiveSets, mask: Tensor, /) -> None:
        """Adopt what ``choose`` returned; what follows this layer adopts it too."""
        self.live_sets, self.mask = live_sets, mask
        self._freeze_if_decided()
        for follower in self._followers:
            device = follower.mask.device
            follower.apply_choice(live_sets.map(methodcaller("to", device)), mask.to(device))

    @torch.inference_mode(False)
    @torch.no_grad()
    def restrict(self, allowed: Tensor, block: int | None = None, /) -> None:
        """Remove, in one block or in all, what is not in ``allowed``, bool (C,), for good.

        In every such block something allowed must be live.
        """
        live_sets = self.live_sets.restricted(allowed, block)
        kept = self.pattern.to_blocks(self.mask).clone()
        holding = incidence(self.pattern, self.mask.device, torch.float32)
        for rows in self._chunks() if block is None else (rows_of(block),):
            kept[rows] = live_sets.live(rows).float() @ holding > 0
        self.apply_choice(live_sets, self._mask_of(kept))

    # -- computing ------------------------------------------------------------------------------

    def under_fixed_mask(self, weight: Tensor) -> Tensor:
        """b ⊙ W, for steps in which the mask does not change.

        On a CPU the mask is cached as numbers, 4 bytes a weight of the 8 that scores and momentum
        took while searching: each product would convert the bytes again.
        """
        if self.mask.device != weight.device:  # fully_shard moves parameters and buffers only
            self.mask = self.mask.to(weight.device)
        if not weight.is_cpu or torch.compiler.is_compiling():
            return weight * self.mask
        mask, numbers = self._fixed or (None, weight)
        if mask is not self.mask or numbers.dtype != weight.dtype:
            with torch.inference_mode(False):
                numbers = torch.empty_like(self.mask, dtype=weight.dtype).copy_(self.mask)
            self._fixed = self.mask, numbers
        return weight * numbers

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Assigning to the module's weight assigns the dense weight below the mask."""
        return weight

    def follow(self, source: SparseLayer) -> None:
        """From now on have the mask and live sets of another layer, whatever is removed there."""
        source._followers.add(self)

    # -- moving, copying and storing ------------------------------------------------------------

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        precise = [scores.data for scores in self.score_parameters()]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for scores, before in zip(self.score_parameters(), precise, strict=True):
            if scores.dtype in HALF:  # in which most updates would round to nothing
                scores.data = before.to(scores.device)

        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)  # Module.type() would make numbers of bits
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        self.mask, self.live_sets, self._fixed = move(self.mask), self.live_sets.map(move), None
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SparseLayer:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        own: dict[str, Any] = {"copied_from": ref(self), "_fixed": None}
        own |= {"awaited_by": WeakSet(), "_followers": WeakSet()}
        for key, value in vars(self).items():
            vars(twin)[key] = own[key] if key in own else deepcopy(value, memo)
        return twin

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "packed"] = self.live_sets.stored
        destination[prefix + "mask"] = self.mask
        destination[prefix + "identity"] = identity_tensor(self.identity)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        names = [prefix + name for name in KEPT]
        unexpected_keys[:] = [key for key in unexpected_keys if key not in names]
        absent = [name for name in names[:2] if name not in state_dict]
        if absent:
            missing_keys.extend(absent)
            return
        packed, mask = (state_dict[name].to(self.mask.device) for name in names[:2])
        try:
            if mask.shape != self.mask.shape:
                raise ValueError(
                    f"a mask of shape {tuple(mask.shape)} does not fit a weight of shape "
                    f"{tuple(self.mask.shape)}"
                )
            live_sets = LiveSets.load(packed.clone(), self.blocks, self.pattern.count)
            kept, wanted = int(mask.bool().sum()), self.blocks * self.pattern.n
            fits = kept == wanted or (self.chooses_density and (kept < wanted or bool(mask.all())))
            if live_sets.most == 1 and not fits:
                raise ValueError(f"a decided mask keeps {wanted:,} weights, and this one {kept:,}")
        except ValueError as error:
            error_msgs.append(f"layer {self.name!r} under {self.pattern}: {error}.")
            return
        self.apply_choice(live_sets, mask.bool().clone())

    # -- inside ---------------------------------------------------------------------------------

    def _live_sets(self, bits: Tensor | None = None, winners: Tensor | None = None) -> LiveSets:
        return LiveSets(self.blocks, self.pattern.count, self.mask.device, bits, winners)

    def _mask_of(self, kept: Tensor) -> Tensor:
        """The mask of the positions (blocks, M) kept, in the memory order of the weight."""
        return torch.empty_like(self.mask).copy_(self.pattern.from_blocks(kept, self.shape))

    def _all_scores(self) -> Iterator[tuple[slice, Tensor]]:
        """``scores`` of all blocks, some at a time."""
        for rows in self._chunks():
            yield rows, self.scores(rows)

    def _chunks(self) -> Iterator[slice]:
        size = max(1, CHUNK_CELLS // self.pattern.count)
        for first in range(0, self.blocks, size):
            yield slice(first, min(first + size, self.blocks))

    def _freeze_if_decided(self) -> None:
        decided = self.live_count == 1
        for scores in self.score_parameters():
            if decided and scores.requires_grad:
                self._froze = True
                scores.requires_grad_(False)
            elif not decided and self._froze:  # an earlier state was loaded
                scores.requires_grad_(True)
            if decided:
                scores.grad = None
        self._froze &= decided


def _note_wrapper(wrapper: nn.Module, _name: str, child: nn.Module | None) -> None:
    """Take note when a model becomes the child of an AveragedModel or of DDP."""
    if child is None or not isinstance(wrapper, AveragedModel | DistributedDataParallel):
        return
    for layer in child.modules():
        if not isinstance(layer, SparseLayer):
            continue
        if isinstance(wrapper, DistributedDataParallel):
            if any(scores.requires_grad for scores in layer.score_parameters()):
                layer.awaited_by.add(wrapper)
        elif layer.copied_from is not None and (source := layer.copied_from()) is not None:
            layer.follow(source)


# An average deep-copies its model and knows nothing of masks: with parameters averaged and masks
# as they were when it was made, it would compute with weights that the model has lost. DDP waits
# for the gradients of all parameters that were trainable when it was made.
register_module_module_registration_hook(_note_wrapper)
