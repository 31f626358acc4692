"""Load batches so that a bad case is named, and skipped only on request."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from monai.data import CacheDataset, DataLoader
from monai.data.utils import list_data_collate
from torch.utils.data import Dataset

from common.data.errors import CaseError, case_error_in

logger = logging.getLogger(__name__)


class CaseLoader(DataLoader):
    """MONAI's DataLoader for cases, some of which may turn out to be unusable.

    A case is bad if loading it raises a :class:`CaseError`; any other error is a fault of the program and is never
    skipped. A skipped case is missing from its batch; a batch with nothing left is not delivered. The number of
    batches is then known only after reading, so with ``on_error="skip"`` the loader has no ``len()``, and MONAI's
    engines find the end by themselves.

    Args:
        dataset: items are dictionaries.
        on_error: "raise" ends with the bad case's error; "skip" logs a warning, notes it in ``failures`` and goes on.
        num_workers: processes that load; 0 loads in this one.
        kwargs: further arguments of ``monai.data.DataLoader``.

    Attributes:
        failures: the bad cases met so far, each once.
    """

    def __init__(self, dataset: Dataset, on_error: str = "raise", num_workers: int = 0, **kwargs: Any) -> None:
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error is '{on_error}', expected 'raise' or 'skip'")
        if len(dataset) == 0:  # type: ignore[arg-type]
            raise ValueError("the dataset has no cases; check the section of the datalist")
        collate = kwargs.pop("collate_fn", list_data_collate)
        super().__init__(_Guarded(dataset), num_workers=num_workers, collate_fn=_GuardedCollate(collate), **kwargs)
        self.on_error = on_error
        self.failures: list[CaseError] = []

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # PyTorch promises one of its private classes
        """Yield the collated batches of good cases."""
        for batch, errors in super().__iter__():
            for error in errors:
                self._report(error)
            if batch is not None:
                yield batch

    def __len__(self) -> int:
        """Return the number of batches.

        Raises:
            TypeError: with ``on_error="skip"``, where it is unknown; the engines of MONAI and Ignite understand this.
        """
        if self.__dict__.get("on_error") == "skip":
            raise TypeError("the number of batches is unknown while bad cases may be skipped")
        return super().__len__()

    def _report(self, error: CaseError) -> None:
        if self.on_error == "raise":
            raise error
        if str(error) not in map(str, self.failures):
            logger.warning("skipped: %s", error)
            self.failures.append(error)


class CaseCacheDataset(CacheDataset):
    """MONAI's CacheDataset, which keeps a bad case's error in its cache and raises it when that case is asked for.

    The original stops at the first bad file while it fills the cache, before a loader could skip it.
    """

    def _load_cache_item(self, idx: int) -> Any:
        try:
            return super()._load_cache_item(idx)
        except Exception as error:
            return _bad_case(error, self.data[idx])

    def _transform(self, index: int) -> Any:
        if index < self.cache_num and isinstance(self._cache[index], CaseError):
            raise self._cache[index]
        return super()._transform(index)


class _Guarded(Dataset):
    """A dataset that returns the CaseError of a bad case instead of raising it, across process borders too."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except Exception as error:
            return _bad_case(error, _raw(self.dataset, index))


class _GuardedCollate:
    """Collate the good cases; hand the errors of the others on beside them."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate

    def __call__(self, items: Sequence[Any]) -> tuple[Any, list[CaseError]]:
        good = [item for item in items if not isinstance(item, CaseError)]
        _check_keys(good)
        return self.collate(good) if good else None, [item for item in items if isinstance(item, CaseError)]


def _bad_case(error: Exception, item: Any) -> CaseError:
    """Return the CaseError behind an exception, with the case's name; raise the exception again if there is none."""
    case_id = str(item.get("case_id", "")) if isinstance(item, Mapping) else ""
    found = case_error_in(error)
    if found is None:
        error.add_note(f"This happened while loading the case '{case_id}'.")
        raise error
    return found.named(case_id)


def _raw(dataset: Any, index: int) -> Any:
    """Return an item before its transforms, where the dataset shows it."""
    data = getattr(dataset, "data", None)
    return data[index] if isinstance(data, Sequence) else None


def _check_keys(items: Sequence[Any]) -> None:
    """Say which case lacks what, before collation fails without a name."""
    if not all(isinstance(item, Mapping) for item in items):
        return
    for item in items[1:]:
        different = set(item) ^ set(items[0])
        if different:
            names = [str(other.get("case_id", "?")) for other in (items[0], item)]
            raise ValueError(
                f"cases '{names[0]}' and '{names[1]}' cannot be in one batch: only one of them has "
                f"{', '.join(sorted(map(str, different)))}. End the transforms with SelectItemsd and the keys all have"
            )
