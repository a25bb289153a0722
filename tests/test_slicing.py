"""Algorithm 1 against its own formulas in exact arithmetic, and the reflection against torch's."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from semanticnn_core.codec.slicing import (
    MOST_WINDOWS,
    Windows,
    center_out,
    nested,
    reflect_pad,
    restored,
    sliced_length,
)
from semanticnn_core.config import Slice

sides = st.integers(1, 40)
percents = st.integers(1, 100)


def windows_of(height: int, width: int, ratio: float) -> Windows:
    """Return the windows that a device may choose from."""
    return Windows(height, width, Slice(ratio, "importance"))


def slice_center(code: torch.Tensor, ratio: float) -> torch.Tensor:
    """Cut the central window of a code (B, K, H, W) (Algorithm 1)."""
    return Windows(*code.shape[-2:], Slice(ratio)).cut(code)


def middle(rows: int, columns: int, height: int, width: int) -> torch.Tensor:
    """Return the corner (1, 2) of the central window of rows × columns."""
    return torch.tensor([[(height - rows) // 2, (width - columns) // 2]])


def numbered(height: int, width: int) -> torch.Tensor:
    """Return a code (1, 1, H, W) whose every place holds another number."""
    return torch.arange(height * width).view(1, 1, height, width)


def bounced(start: int, kept: int, place: int) -> int:
    """Walk from the window's place 0 to `place`, turning round at its borders; returns where the walk ends."""
    position, direction = 0, 1
    for _ in range(abs(place - start)):
        if kept > 1:
            direction = 1 if position == 0 else -1 if position == kept - 1 else direction
            position += direction
    return position  # a walk to the left mirrors one to the right


def test_the_kept_length_is_the_floor():
    for length in range(1, 101):
        for percent in range(1, 101):
            exact = math.isqrt(percent * length**2 // 100)  # ⌊√(p/100)·H⌋ without a float
            assert sliced_length(length, percent / 100) == max(1, exact), (length, percent)


@pytest.mark.parametrize(("side", "share"), [(8, 0.766), (14, 0.735)])
def test_the_share_sent_at_ratio_08(side, share):
    assert round(Windows(side, side, Slice(0.8)).share_sent, 3) == share


@settings(max_examples=100, deadline=None)
@given(sides, sides, percents)
def test_the_window_is_central(height, width, percent):
    window = slice_center(numbered(height, width), percent / 100)
    rows = max(1, math.isqrt(percent * height**2 // 100))
    columns = max(1, math.isqrt(percent * width**2 // 100))
    top, left = (height - rows) // 2, (width - columns) // 2
    expected = [[[[(top + i) * width + left + j for j in range(columns)] for i in range(rows)]]]
    assert window.tolist() == expected
    windows = Windows(height, width, Slice(percent / 100))
    assert windows.share_sent == rows * columns / (height * width)
    assert windows.corners.tolist() == [[top, left]] and not windows.announced and windows.head_bytes == 0


@settings(max_examples=100, deadline=None)
@given(sides, sides, percents)
def test_slicing_undoes_padding(height, width, percent):
    window = slice_center(numbered(height, width), percent / 100)
    padded = Windows(height, width, Slice(percent / 100)).pad(window)
    assert padded.shape[-2:] == (height, width)
    assert torch.equal(slice_center(padded, percent / 100), window)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 40), st.integers(0, 40))
def test_reflection_bounces_between_the_borders(rows, columns, more_rows, more_columns):
    height, width = rows + more_rows, columns + more_columns
    padded = reflect_pad(numbered(rows, columns), height, width, middle(rows, columns, height, width))
    up = [bounced(more_rows // 2, rows, place) for place in range(height)]
    across = [bounced(more_columns // 2, columns, place) for place in range(width)]
    # inside the window the walk goes straight, so it needs no mirror
    assert padded[0, 0].tolist() == [[i * columns + j for j in across] for i in up]


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 20), st.integers(2, 20), st.data())
def test_reflection_is_torchs_where_torch_can(rows, columns, data):
    more_rows, more_columns = data.draw(st.integers(0, 2 * rows - 3)), data.draw(st.integers(0, 2 * columns - 3))
    window = numbered(rows, columns).float()
    top, left = more_rows // 2, more_columns // 2
    expected = F.pad(window, (left, more_columns - left, top, more_rows - top), mode="reflect")
    corner = middle(rows, columns, rows + more_rows, columns + more_columns)
    assert torch.equal(reflect_pad(window, rows + more_rows, columns + more_columns, corner), expected)


def test_ratio_one_is_the_identity():
    code = numbered(7, 9)
    assert torch.equal(slice_center(code, 1.0), code)
    assert torch.equal(Windows(7, 9, Slice(1.0)).pad(code), code)


def test_the_smallest_ratio_keeps_the_middle_alone():
    assert slice_center(numbered(9, 5), 1e-6).flatten().tolist() == [4 * 5 + 2]
    one = torch.full((1, 1, 1, 1), 3)
    assert Windows(6, 7, Slice(1e-6)).pad(one).unique().tolist() == [3]


@pytest.mark.parametrize("ratio", [0, -0.1, 1.01, math.nan])
def test_a_ratio_out_of_range_is_refused(ratio):
    with pytest.raises(ValueError, match=r"^ratio must be in \(0, 1\], got"):
        Slice(ratio)


def test_padding_cannot_shrink():
    with pytest.raises(ValueError, match="window of 8.*to 7"):
        reflect_pad(numbered(8, 8), 7, 8, torch.zeros(1, 2, dtype=torch.long))


@settings(max_examples=100, deadline=None)
@given(sides, sides, percents)
def test_adaptive_windows_are_all_or_32_spread_from_border_to_border(height, width, percent):
    rows, columns = (sliced_length(length, percent / 100) for length in (height, width))
    windows = windows_of(height, width, percent / 100)
    places = windows.corners
    free = (height - rows + 1) * (width - columns + 1)
    assert 1 <= len(places) <= min(free, MOST_WINDOWS) and len(places.unique(dim=0)) == len(places)
    assert windows.announced == (len(places) > 1) and windows.head_bytes == 2 * windows.announced
    assert (places >= 0).all() and (places[:, 0] + rows <= height).all() and (places[:, 1] + columns <= width).all()
    if free <= MOST_WINDOWS:
        assert len(places) == free
    for side, length, kept in ((0, height, rows), (1, width, columns)):
        across = places[:, side].unique()
        assert len(across) == 1 or (across[0] == 0 and across[-1] == length - kept)
    assert places.tolist() == sorted(places.tolist())


def test_of_six_by_six_windows_the_most_that_fit_are_kept():
    windows = windows_of(8, 8, (3 / 8) ** 2)
    places = windows.corners
    assert (windows.rows, windows.columns) == (3, 3)
    assert len(places) == 30 and len(places[:, 0].unique()) in (5, 6)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), percents, st.integers(0, 1000))
def test_the_best_window_has_the_largest_sum(height, width, percent, seed):
    importance = torch.randint(-9, 10, (3, height, width), generator=torch.Generator().manual_seed(seed))
    rows, columns = (sliced_length(length, percent / 100) for length in (height, width))
    windows = windows_of(height, width, percent / 100)
    corners = windows.corners.tolist()
    sums = [[int(each[t : t + rows, v : v + columns].sum()) for t, v in corners] for each in importance]
    assert windows.best(importance).tolist() == [each.index(max(each)) for each in sums]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), percents, st.data())
def test_a_window_anywhere_bounces_from_its_own_borders(height, width, percent, data):
    rows, columns = (sliced_length(length, percent / 100) for length in (height, width))
    corner = torch.tensor(
        [[data.draw(st.integers(0, height - rows)), data.draw(st.integers(0, width - columns))] for _ in range(2)]
    )
    code = torch.cat([numbered(height, width), numbered(height, width) + 1000])
    windows = Windows(height, width, Slice(percent / 100))
    window = windows.cut(code, corner)
    padded = windows.pad(window, corner)
    assert torch.equal(windows.cut(padded, corner), window)
    for sample, (top, left) in enumerate(corner.tolist()):
        assert torch.equal(window[sample], code[sample, :, top : top + rows, left : left + columns])
        up = [bounced(top, rows, place) for place in range(height)]
        across = [bounced(left, columns, place) for place in range(width)]
        assert padded[sample, 0].tolist() == [[int(window[sample, 0, i, j]) for j in across] for i in up]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 15), st.integers(1, 15))
def test_the_progressive_order_completes_one_central_window_after_the_other(rows, columns):
    order = center_out(rows, columns)
    assert sorted(order.tolist()) == list(range(rows * columns))
    for top, left, high, wide in nested(rows, columns):
        first = order[: high * wide]
        inside = ((first // columns >= top) & (first // columns < top + high)).all()
        assert inside and ((first % columns >= left) & (first % columns < left + wide)).all()
    assert nested(rows, columns)[-1] == (0, 0, rows, columns)


def test_a_window_has_a_corner_by_number_and_a_frame_in_shares_of_the_picture():
    windows = windows_of(8, 8, 0.25)  # 4×4 of 8×8: 25 corners
    assert windows.corner(torch.tensor([0, 24, 31])).tolist() == [[0, 0], [4, 4], [4, 4]], "31 is no window's number"
    assert windows.frames(torch.tensor([[0, 4], [2, 1]])).tolist() == [[0, 0.5, 0.5, 1], [0.25, 0.125, 0.75, 0.625]]
    center = Windows(8, 8, Slice(0.25))
    assert center.corner(None).tolist() == center.center.tolist() == [[2, 2]]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_lost_pixels_mirror_the_largest_whole_window_and_those_that_came_stay(rows, columns, data):
    count = rows * columns
    head = data.draw(st.integers(0, count))
    present = torch.tensor([[number < head or data.draw(st.booleans()) for number in range(count)]])
    sent = torch.arange(count * 2, dtype=torch.float64).view(1, count, 2)  # in the order of leaving
    order = center_out(rows, columns)
    picture = sent[0, order.argsort()]  # row by row
    lost = torch.where(present[..., None], sent, -1.0)
    got = restored(lost, present, rows, columns)[0]
    came = present[0, order.argsort()]
    assert torch.equal(got[came], picture[came])
    before = int(present[0].long().cumprod(0).sum())
    whole = [each for each in nested(rows, columns) if each[2] * each[3] <= before]
    if not whole:
        assert (got[~came] == -1).all()
        return
    top, left, high, wide = whole[-1]
    inside = picture.view(rows, columns, 2)[top : top + high, left : left + wide]
    for place in (~came).nonzero().flatten().tolist():
        i, j = divmod(place, columns)
        assert torch.equal(got[place], inside[bounced(top, high, i), bounced(left, wide, j)])
