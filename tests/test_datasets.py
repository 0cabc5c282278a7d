"""imdb.load_data: Keras' result on the real arrays, files in odd states, and files with ill will."""

from __future__ import annotations

import io
import json
import pickle
import re
import struct
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.datasets import cache, imdb, recorded
from unrolled.datasets.npz import read_npz
from unrolled.errors import FileFormatError

TINY = {  # five ranks; four and three reviews
    "x_train": [[1, 2, 3], [4], [5, 1], [2, 2, 2, 2]],
    "y_train": [0, 1, 0, 1],
    "x_test": [[3, 1], [5], [1, 1, 4]],
    "y_test": [1, 0, 1],
}


def write_npz(path: Path, arrays: dict[str, Any] = TINY) -> Path:
    """An .npz file as NumPy writes it: object arrays of lists, int64 labels."""
    ready = {}
    for name, rows in arrays.items():
        ready[name] = np.array(rows, np.int64) if name.startswith("y") else np.empty(len(rows), object)
        if name.startswith("x"):
            ready[name][:] = rows
    np.savez(path, **ready)
    return path


def write_pickle(path: Path, pickled: bytes, rows: int) -> Path:
    """The tiny file with x_train's pickle replaced."""
    write_npz(path)
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": (rows,)})
    members["x_train.npy"] = header.getvalue() + pickled
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty UNROLLED_HOME and an origin that cannot be reached."""
    monkeypatch.setenv("UNROLLED_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cache, "ORIGIN", (tmp_path / "origin").as_uri() + "/")
    return tmp_path / "home"


# --- the real arrays: what Keras gives, by the facts that are on record ---


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Any:
    return imdb.load_data(shared_data / "imdb" / "imdb.npz", num_words=10_000)


def test_real_rows_and_labels(real: Any) -> None:
    (x_train, y_train), (x_test, y_test) = real
    assert [a.shape for a in (x_train, y_train, x_test, y_test)] == [(25_000,)] * 4
    assert (x_train.dtype, y_train.dtype) == (np.dtype(object), np.dtype(np.int64))
    assert type(x_train[0]) is list and {type(i) for i in x_train[0]} == {int}
    assert x_train[0][:8] == [1, 14, 22, 16, 43, 530, 973, 1622]
    assert x_test[0][:7] == [1, 591, 202, 14, 31, 6, 717]
    assert (len(x_train[0]), y_train[0], len(x_test[0]), y_test[0]) == (218, 1, 68, 0)
    assert (y_train.sum(), y_test.sum()) == (12_500, 12_500)


def test_real_lengths_and_ids(real: Any) -> None:
    (x_train, _), (x_test, _) = real
    train, test = (np.array([len(x) for x in half]) for half in (x_train, x_test))
    assert (train.mean().round(2), test.mean().round(2), np.median(train)) == (238.71, 230.80, 178)
    assert (train.max(), test.max(), train.min(), test.min()) == (2494, 2315, 11, 7)
    assert max(map(max, x_train)) == 9_999
    assert {x[0] for x in x_train} == {1}
    assert min(min(x[1:]) for x in x_train) == 2


def test_real_sums_are_those_of_keras(real: Any, shared_data: Path) -> None:
    """Digests of Keras 3.15's own result on these arrays, over every id and every label."""

    def digest(data: Any) -> str:
        total = sha256()
        for x, y in data:
            total.update(np.concatenate([np.array(row, np.int64) for row in x]).tobytes())
            total.update(np.array([len(row) for row in x], np.int64).tobytes() + y.tobytes())
        return total.hexdigest()[:16]

    assert digest(real) == "b12a4609de9aa864"
    other = imdb.load_data(shared_data / "imdb" / "imdb.npz", num_words=1_000, skip_top=20, maxlen=100, seed=7)
    assert digest(other) == "4aba398e213c7caf"
    assert (len(other[0][0]), len(other[1][0])) == (2773, 2963)


def test_real_word_index(shared_data: Path, real: Any) -> None:
    index = imdb.get_word_index(shared_data / "imdb" / "imdb_word_index.json")
    assert (len(index), index["the"], min(index.values()), max(index.values())) == (88_584, 1, 1, 88_584)
    words = {rank + 3: word for word, rank in index.items()}
    start = " ".join(words.get(i, "?") for i in real[0][0][0][1:9])
    assert start == "this film was just brilliant casting location scenery"


# --- every argument, on a file small enough to read ---


def expected_by_hand(order: list[int], half: str) -> tuple[list[list[int]], list[int]]:
    return [TINY[f"x_{half}"][i] for i in order], [TINY[f"y_{half}"][i] for i in order]


def load(path: Path, **arguments: Any) -> list[Any]:
    return [a.tolist() for half in imdb.load_data(path, **arguments) for a in half]


def test_arguments(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "tiny.npz")
    random = np.random.RandomState(113)  # one stream for both shuffles
    orders = [np.arange(4), np.arange(3)]
    for order in orders:
        random.shuffle(order)
    train, y_train = expected_by_hand(orders[0].tolist(), "train")
    test, y_test = expected_by_hand(orders[1].tolist(), "test")
    raw = {"start_char": None, "index_from": 0, "num_words": 6}
    assert load(file, **raw) == [train, y_train, test, y_test]
    # ranks + 3, behind the start mark; without num_words the largest id, 8, is left out, as in Keras
    shown = [[1, *(i + 3 if i < 5 else 2 for i in x)] for x in train]
    assert load(file)[0] == shown
    assert load(file, num_words=9)[0] == [[1, *(i + 3 for i in x)] for x in train]
    assert load(file, num_words=6, skip_top=5, oov_char=9)[0] == [[9, *(5 if i == 2 else 9 for i in x)] for x in train]
    assert load(file, num_words=6, oov_char=None)[0] == [[1, *(i + 3 for i in x if i < 3)] for x in train]
    assert load(file, **raw, maxlen=3)[::2] == [[x for x in half if len(x) < 3] for half in (train, test)]
    assert load(file, num_words=9, maxlen=3) == [[[1, 7]], [1], [[1, 8]], [0]]  # the start mark counts
    assert load(file, **raw, seed=1) != load(file, **raw)
    with pytest.warns(FutureWarning, match="num_words"):
        assert load(file, nb_words=6) == load(file, num_words=6)


def test_rows_of_one_length_stay_lists(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "even.npz", TINY | {"x_train": [[1, 2]] * 4})
    (x_train, _), _ = imdb.load_data(file)
    assert (x_train.shape, x_train[0]) == ((4,), [1, 4, 5])


def test_argument_errors(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "tiny.npz")
    with pytest.raises(ValueError) as caught:
        imdb.load_data(file, maxlen=2)
    assert str(caught.value) == ("imdb.load_data: no review is shorter than maxlen=2 steps. Choose a larger maxlen.")
    with pytest.raises(TypeError, match=r"^imdb.load_data: got the unknown argument 'num_word'\.$"):
        imdb.load_data(file, num_word=5)


# --- where files are looked for ---


def test_paths(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_npz(tmp_path / "imdb.npz")
    wanted = load(file)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in ("imdb.npz", "./imdb.npz", "~/imdb.npz", str(file)):
        assert load(path) == wanted  # type: ignore[arg-type]
    home.mkdir()
    file.rename(home / "imdb.npz")
    assert load(None) == wanted  # type: ignore[arg-type]
    assert load("imdb.npz") == wanted  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError) as caught:
        imdb.load_data("~/lost.npz")
    assert str(caught.value) == (
        f"imdb.npz: no file at {tmp_path / 'lost.npz'}. "
        f"Give the path of the file, or leave path out to use {home / 'imdb.npz'}."
    )


def test_default_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNROLLED_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.home() == Path("/somewhere/unrolled")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache.home() == Path("/home/ada/.cache/unrolled")


def test_unreachable_origin_says_where_to_put_the_file(home: Path) -> None:
    for load_it, name in ((imdb.load_data, "imdb.npz"), (imdb.get_word_index, "imdb_word_index.json")):
        with pytest.raises(FileNotFoundError) as caught:
            load_it()
        text = str(caught.value)
        assert text.startswith(f"{name}: not found at {home / name}, and {cache.ORIGIN}{name} cannot be fetched (")
        assert text.endswith(f"Download it on another machine and put it at {home / name}, or give path=... of a copy.")
        assert not home.exists()


def test_the_origin_is_that_of_keras() -> None:
    assert cache.ORIGIN == "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


def test_download_is_checked_and_kept(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "origin").mkdir()
    source = write_npz(tmp_path / "origin" / "imdb.npz")
    with pytest.raises(FileFormatError) as caught:  # not the file of Keras
        imdb.load_data()
    digest = sha256(source.read_bytes()).hexdigest()
    assert str(caught.value) == (
        f"imdb.npz: what {cache.ORIGIN}imdb.npz sent has the sha256 {digest}, expected "
        "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f. Try again."
    )
    assert list(home.iterdir()) == []
    monkeypatch.setattr(imdb, "_ARRAYS_SHA256", digest)
    wanted = load(source)
    assert load(None) == wanted  # type: ignore[arg-type]
    assert [f.name for f in home.iterdir()] == ["imdb.npz"]
    source.unlink()
    assert load(None) == wanted  # type: ignore[arg-type]  # kept: the origin is not asked again


# --- how object arrays are read ---


def test_numpy_load_may_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One version of the chapter patches numpy.load to pass allow_pickle=True, then calls load_data."""
    file = write_npz(tmp_path / "tiny.npz")
    wanted, original = load(file), np.load
    monkeypatch.setattr(np, "load", lambda *a, **k: original(*a, allow_pickle=True, **k))
    assert load(file) == wanted
    monkeypatch.setattr(np, "load", None)
    assert load(file) == wanted


@pytest.mark.parametrize("protocol", range(6))
def test_every_pickle_protocol(tmp_path: Path, protocol: int) -> None:
    rows = np.empty(3, object)
    rows[:] = [[1, 300, 70_000], [], [2**40, -1]]
    file = write_pickle(tmp_path / "p.npz", pickle.dumps(rows, protocol=protocol), 3)
    assert read_npz(file, ("x_train",)) == {"x_train": rows.tolist()}


def test_pickle_of_python_2(tmp_path: Path) -> None:
    """Opcodes by hand: Python 2 writes names as byte strings (U), NumPy 1 says numpy.core."""
    pickled = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85q\x03"
        b"U\x01bq\x04\x87q\x05Rq\x06"
        b"(K\x01K\x02\x85q\x07cnumpy\ndtype\nq\x08U\x02O8q\tK\x00K\x01\x87q\nRq\x0b"
        b"(K\x03U\x01|q\x0cNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tq\rb\x89"
        b"]q\x0e(]q\x0f(K\x05M\x2c\x01e]q\x10K\x07aetq\x11b."
    )
    assert read_npz(write_pickle(tmp_path / "two.npz", pickled, 2), ("x_train",)) == {"x_train": [[5, 300], [7]]}


class Evil:
    """An object whose unpickling would write a file."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.target, "w"))


def test_code_in_a_file_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    rows = np.empty(1, object)
    rows[0] = Evil(mark)
    file = write_pickle(tmp_path / "evil.npz", pickle.dumps(rows), 1)
    with pytest.raises(FileFormatError) as caught:
        imdb.load_data(file)
    assert not mark.exists()
    name = "_io.open" if "_io.open" in str(caught.value) else "io.open"
    assert str(caught.value) == (
        f"{file}, x_train: refused: the file asks for {name}, which an array of lists does not need. "
        "It may have been tampered with."
    )
    for module, name in (("numpy", "load"), ("builtins", "eval"), ("numpy.core.multiarray", "scalar")):
        with pytest.raises(FileFormatError, match=rf"asks for {re.escape(module)}\.{name}, "):
            read_npz(write_pickle(file, f"c{module}\n{name}\n.".encode(), 1), ("x_train",))


@pytest.mark.parametrize("rows", [[["a"]], [[1.5]], [[True]], ["abc"], [[[1]]], [(1, 2)], [None]])
def test_rows_of_anything_but_ints_are_refused(tmp_path: Path, rows: list[Any]) -> None:
    file = write_npz(tmp_path / "odd.npz", TINY | {"x_train": rows})
    with pytest.raises(FileFormatError) as caught:
        imdb.load_data(file)
    assert str(caught.value) == (f"{file}, x_train: expected lists of integers, got rows with something else in them.")


def test_broken_files(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "tiny.npz")
    whole = file.read_bytes()
    for content in (b"", b"not a zip", whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"expected an \.npz file, got one that is broken or of another kind"):
            imdb.load_data(file)
    np.savez_compressed(file, x_train=np.arange(1000))
    squeezed = bytearray(file.read_bytes())
    squeezed[60:90] = bytes(30)
    file.write_bytes(squeezed)
    with pytest.raises(FileFormatError, match=r"expected an \.npz file, got one that is broken"):
        read_npz(file, ("x_train",))
    file.write_bytes(whole[:80] + struct.pack("<I", 0xDEADBEEF) + whole[84:])
    with pytest.raises(FileFormatError):  # a bad checksum, or a damaged header
        imdb.load_data(file)
    pickled = pickle.dumps(np.array([[1], [2, 3]], object))
    for damaged, rows in ((pickled[:-9], 2), (pickled, 3), (b"", 2), (b"N.", 2), (b"garbage", 2)):
        with pytest.raises(FileFormatError, match=r"x_train: .*Copy the file again\.$"):
            imdb.load_data(write_pickle(file, damaged, rows))
    with pytest.raises(FileFormatError) as caught:
        imdb.load_data(write_npz(file, {k: v for k, v in TINY.items() if k != "y_test"}))
    assert str(caught.value) == (
        f"{file}: expected the arrays x_train, y_train, x_test, y_test; "
        "y_test not found among x_train, y_train, x_test."
    )
    with pytest.raises(FileFormatError) as caught:
        imdb.load_data(write_npz(file, TINY | {"y_train": [0, 1]}))
    assert str(caught.value) == f"{file}: expected x_train to hold lists of ids and y_train a label for each."


def test_broken_word_index(tmp_path: Path) -> None:
    file = tmp_path / "index.json"
    file.write_text('{"the": 1')
    with pytest.raises(FileFormatError, match="expected JSON, got a file that is broken"):
        imdb.get_word_index(file)
    file.write_text("[1]")
    with pytest.raises(FileFormatError, match="expected words and their ranks, got a list"):
        imdb.get_word_index(file)
    file.write_text(json.dumps({"the": 1, "é": 2}), encoding="utf-8")
    assert imdb.get_word_index(file) == {"the": 1, "é": 2}


def test_recorded_figures() -> None:
    figures = recorded()
    assert figures["parameters"]["LSTM(32)"] == 8320
    assert max(figures["imdb"]["run_b"]["LSTM"]["val_acc"]) == 0.8902
