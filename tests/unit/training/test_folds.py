"""Folds of persons for cross-fitted teachers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from flairflow.cohort.scan import Mask, Scan
from flairflow.training.data.folds import assign_folds

KNOWN, MISSING = Mask("mask", "m"), Mask("missing")


def scan(number: int, person: str, dataset: str, labels: tuple[bool, bool], split: str = "train") -> Scan:
    masks = {label: KNOWN if known else MISSING for label, known in zip(("A", "B"), labels, strict=True)}
    return Scan(f"{dataset}_sub-{number}", dataset, str(number), "", person, {}, masks, split=split)


SCANS = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["x", "y", "z"]),
        st.tuples(st.booleans(), st.booleans()),
        st.sampled_from(["train", "train", "train", "validation", "test", "archive"]),
    ),
    max_size=40,
)


@given(SCANS, st.integers(2, 5), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_persons_stay_together_in_even_folds(drawn: list[tuple], folds: int, seed: int) -> None:  # type: ignore[type-arg]
    # A person is in one split, as the index deals them out.
    split = {person: where for person, _, _, where in drawn}
    scans = [scan(n, f"p{who}", where, known, split[who]) for n, (who, where, known, _) in enumerate(drawn)]
    found = assign_folds(scans, folds, seed)
    own = [one for one in scans if one.split == "train"]
    assert found.keys() == {one.scan for one in own}
    assert set(found.values()) <= set(range(folds))
    person_folds = {(one.person, found[one.scan]) for one in own}
    persons = {one.person for one in own}
    assert len(person_folds) == len(persons), "a person's scans are in one fold"
    sizes = Counter(fold for _, fold in person_folds)
    assert not persons or max(sizes.values()) - min(sizes[fold] for fold in range(folds)) <= 1
    strata: dict[tuple[str, ...], Counter[int]] = {}
    stratum: dict[str, tuple[str, ...]] = {}
    for one in own:
        stratum.setdefault(one.person, (one.dataset, *one.annotated))
    for person, fold in person_folds:
        strata.setdefault(stratum[person], Counter())[fold] += 1
    for counts in strata.values():
        assert max(counts.values()) - min(counts[fold] for fold in range(folds)) <= 1, "each stratum is dealt evenly"


def test_the_order_of_folds_follows_from_the_seed_and_the_names() -> None:
    scans = [scan(n, f"p{n}", "x", (True, False)) for n in range(30)]
    first = assign_folds(scans, 3, 0)
    assert first == assign_folds(scans[::-1], 3, 0)
    assert first != assign_folds(scans, 3, 1)
    assert Counter(first.values()) == {0: 10, 1: 10, 2: 10}
    # Sorted by name they would be dealt 0, 1, 2, 0, ...
    assert [first[one.scan] for one in sorted(scans, key=lambda one: one.person)] != [n % 3 for n in range(30)]


def test_what_is_not_trained_on_is_in_no_fold() -> None:
    scans = [scan(n, f"p{n}", "x", (True, True)) for n in range(4)]
    others = [replace(scans[0], scan="x_sub-9", split="test"), replace(scans[1], scan="x_sub-8", reason="damaged")]
    assert assign_folds([*others, *scans], 2, 0) == assign_folds(scans, 2, 0)
