"""The native engine; shapes and meanings stand in native/kernels.h."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

class Later:
    """Work that goes on after the call that began it (native/threads.h)."""

    def finish(self) -> None:
        """Wait for its end: what it reads may change from now on, and its results are there."""

class Plan:
    batch: int
    steps: int
    values: int
    prefix: int
    own: int
    initial: int
    reverse: bool
    row_steps: int
    def order(self) -> Array: ...
    def value(self) -> Array: ...
    def previous(self) -> Array: ...
    def final_row(self) -> Array: ...
    def last_row(self) -> Array: ...
    def shared(self) -> Array: ...
    def out_index(self) -> Array: ...

def levels() -> list[str]: ...
def level() -> str: ...
def set_level(name: str) -> None: ...
def lanes(float64: bool) -> int: ...
def set_threads(n: int) -> None: ...
def get_threads() -> int: ...
def drop_buffers() -> None: ...
def cells() -> list[tuple[str, int, int, int, int]]: ...
def plan(index: Array, mask: Array | None, lead: Array, values: int, reverse: bool, row_states: bool) -> Plan: ...
def distinct(ids: Array, vocabulary: int) -> tuple[Any, ...]: ...
def project(
    cell: int,
    units: int,
    table: Array,
    rows: Array | None,
    kernel: Array,
    bias: Array | None,
    drop: Array | None = None,
    owner: Array | None = None,
    later: bool = False,
) -> tuple[Array, Later | None]: ...
def forward(
    cell: int,
    activation: int,
    recurrent_activation: int,
    plan: Plan,
    z: Array,
    recurrent_kernel: Array,
    recurrent_bias: Array | None,
    h0: Array | None,
    c0: Array | None,
    drop: Array | None,
    keep: bool,
    sequences: bool,
) -> tuple[Array, Array, Array, Array, Array, Array]: ...
def forward_and_back(
    cell: int,
    activation: int,
    recurrent_activation: int,
    plan: Plan,
    z: Array,
    recurrent_kernel: Array,
    recurrent_bias: Array | None,
    h0: Array | None,
    c0: Array | None,
    drop: Array | None,
    kernel: Array,
    bias: Array | None,
    labels: Array,
    softmax: bool,
    weights: Array | None,
    weight: float,
    want_kernel: bool,
    want_states: bool,
    table: Array,
    rows: Array | None,
    input_kernel: Array,
    input_drop: Array | None,
    owner: Array | None,
    want_input_kernel: bool,
    want_input_bias: bool,
    want_values: bool,
    later: bool,
) -> tuple[float, Array, tuple[Array, Array] | None, Array, Array, Array, Array, Array, Array, Later | None]: ...
def backward(
    cell: int,
    activation: int,
    recurrent_activation: int,
    plan: Plan,
    recurrent_kernel: Array,
    drop: Array | None,
    h: Array,
    c: Array,
    stash: Array,
    d_outputs: Array | None,
    d_last: Array | None,
    d_final_h: Array | None,
    d_final_c: Array | None,
    every_state: bool = False,
) -> tuple[Array, Array, Array, Array, Array, Array, Array]: ...
def project_backward(
    cell: int,
    plan: Plan,
    table: Array,
    rows: Array | None,
    kernel: Array,
    drop: Array | None,
    owner: Array | None,
    stash: Array,
    frequent: Array,
    d_recurrent_bias: Array,
    want_kernel: bool,
    want_bias: bool,
    want_values: bool,
) -> tuple[Array, Array, Array, None]: ...
def dense(x: Array, kernel: Array, bias: Array | None) -> Array: ...
def dense_backward(
    x: Array, kernel: Array, d_z: Array, want_kernel: bool, want_x: bool
) -> tuple[Array, Array, Array]: ...
def cross_entropy(logits: Array, labels: Array, softmax: bool, gradient: bool) -> tuple[Array, Array]: ...
def total(array: Array, weights: Array | None) -> float: ...
def collect(index: Array, d: Array, n: int) -> Array: ...
def pool(
    table: Array, rows: Array | None, index: Array, mask: Array | None, want_max: bool, want_mean: bool
) -> tuple[Array, Array, Array]: ...
def pool_backward(
    table: Array,
    rows: Array | None,
    index: Array,
    mask: Array | None,
    max: Array | None,
    d_max: Array | None,
    d_mean: Array | None,
) -> Array: ...
def rules() -> list[tuple[str, int, bool]]: ...
def update(
    rule: int,
    values: list[Array],
    states: list[list[Array]],
    gradients: list[Array],
    rows: list[Array | None],
    rate: float,
    decay: float,
    scales: list[float],
    constants: list[float],
    pending: list[tuple[Array, Array, Array] | None],
    check: bool = False,
    later: int = -1,
    after: Later | None = None,
) -> tuple[int, Later | None]: ...
def catch_up(
    rule: int,
    value: Array,
    state: list[Array],
    pending: tuple[Array, Array, Array],
    constants: list[float],
    rows: Array | None,
) -> None: ...
def all_within(array: Array, low: float, high: float) -> bool: ...
def first_not_finite(arrays: list[Array]) -> int: ...
