"""A model's file: everything comes back, training continues bit for bit, and bad files say what is wrong."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled import backend, layers, models, random, saving, set_random_seed
from unrolled.errors import FileFormatError, ShapeError

OPTIMIZERS = ["sgd", "rmsprop", "adam", "adamw"]


def model_of_everything() -> models.Sequential:
    return models.Sequential(
        [
            layers.Embedding(12, 4, mask_zero=True, input_length=6),
            layers.SpatialDropout1D(0.2),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True, recurrent_activation="hard_sigmoid"), "sum"),
            layers.TimeDistributed(layers.Dense(4, "relu")),
            layers.GRU(3, reset_after=False, go_backwards=True),
            layers.Dropout(0.1),
            layers.Dense(1, "sigmoid", kernel_initializer=np.full((3, 1), 0.5)),
        ],
        name="everything",
    )


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, 12, (50, 6)), rng.integers(0, 2, 50)


def same_weights(a: models.Sequential, b: models.Sequential) -> bool:
    return all((x == y).all() for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_loaded_model_continues_bit_for_bit(optimizer: str, tmp_path: Path, data: Any) -> None:
    set_random_seed(5)
    model = model_of_everything()
    model.compile(optimizer, "binary_crossentropy", metrics=["acc"])
    model.fit(*data, epochs=2, batch_size=16, verbose=0)
    path = tmp_path / "model.safetensors"
    model.save(path)
    straight = model.fit(*data, epochs=3, batch_size=16, verbose=0, validation_split=0.2).history
    backend.clear_session()
    before = random.generator().bit_generator.state
    loaded = models.load_model(path)
    assert random.generator().bit_generator.state == before
    resumed = loaded.fit(*data, epochs=3, batch_size=16, verbose=0, validation_split=0.2).history
    assert resumed == straight and same_weights(model, loaded)
    assert [p.path for p in loaded.weights] == [p.path for p in model.weights]
    assert loaded.get_config() == model.get_config()
    assert (loaded.predict(data[0]) == model.predict(data[0])).all()


def test_the_configuration_survives(tmp_path: Path) -> None:
    model = models.Sequential(
        [
            layers.Input((None, 2)),
            layers.Masking(3.0),
            layers.Bidirectional(
                layers.GRU(2, return_sequences=True),
                backward_layer=layers.LSTM(3, go_backwards=True, return_sequences=True, unit_forget_bias=False),
            ),
            layers.GlobalMaxPooling1D(keepdims=True),
            layers.Reshape((-1,)),
            layers.RepeatVector(4),
            layers.SimpleRNN(3, trainable=False, kernel_initializer="he_normal"),
            layers.Activation("softplus"),
            layers.Flatten(),
            layers.Dense(2, dtype="float64", use_bias=False),
        ]
    )
    model.save(tmp_path / "m")
    loaded = models.load_model(tmp_path / "m")
    assert loaded.get_config() == model.get_config()
    assert [(p.path, p.trainable, p.dtype) for p in loaded.weights] == [
        (p.path, p.trainable, p.dtype) for p in model.weights
    ]
    x = np.random.default_rng(0).normal(size=(3, 5, 2))
    assert (loaded(x) == model(x)).all()
    assert loaded.optimizer is None


def test_a_model_without_weights_yet(tmp_path: Path) -> None:
    models.Sequential([layers.GRU(3), layers.Dense(2)], name="later").save(tmp_path / "m")
    loaded = models.load_model(tmp_path / "m")
    assert not loaded.built and loaded.layers[0].name.startswith("gru")


def test_a_layer_of_ones_own_loads_once_it_is_defined(tmp_path: Path) -> None:
    class Doubling(layers.Dense):
        pass

    models.Sequential([Doubling(2, input_shape=(3,))]).save(tmp_path / "m")
    assert type(models.load_model(tmp_path / "m").layers[0]) is Doubling
    del layers.Layer.registry["Doubling"]
    with pytest.raises(
        FileFormatError, match=r'There is no layer class "Doubling". If it is your own, import the module'
    ):
        models.load_model(tmp_path / "m")


def test_weights_alone_go_by_order_not_by_name(tmp_path: Path) -> None:
    def make() -> models.Sequential:
        return models.Sequential([layers.Embedding(9, 2), layers.LSTM(3), layers.Dense(1)])

    one, two = make(), make()
    one.save_weights(tmp_path / "w")
    two.load_weights(tmp_path / "w")
    assert same_weights(one, two) and one.weights[0].path != two.weights[0].path
    one.save(tmp_path / "m")
    three = make()
    three.load_weights(tmp_path / "m")
    assert same_weights(one, three)
    other = models.Sequential([layers.Embedding(9, 2), layers.GRU(3), layers.Dense(1)])
    before = other.get_weights()
    with pytest.raises(
        ShapeError, match=r"expected 6 arrays:(?s:.*)gru_?\d*/kernel \(2, 9\)(?s:.*)got 6: \(9, 2\), \(2, 12\)"
    ):
        other.load_weights(tmp_path / "w")
    assert all((a == b).all() for a, b in zip(before, other.get_weights(), strict=True))
    with pytest.raises(FileFormatError, match=r"holds weights alone. Make the model and call model.load_weights"):
        models.load_model(tmp_path / "w")


# ---- bad files


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = models.Sequential([layers.Embedding(9, 2), layers.LSTM(3), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3)), np.ones(4), verbose=0)
    model.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("keep", [0, 3, 8, 60, 0.3, 0.99])
def test_truncated_files(saved: Path, keep: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(
        FileFormatError,
        match=r"is no model, or a broken or truncated one \(.*\). Give a file that save wrote, or copy or save it ",
    ):
        models.load_model(saved)


def test_every_flipped_byte_of_the_header_is_caught_or_harmless(saved: Path) -> None:
    content = saved.read_bytes()
    size = 8 + int.from_bytes(content[:8], "little")
    for position in range(0, size, 7):
        broken = bytearray(content)
        broken[position] ^= 0x15
        saved.write_bytes(broken)
        with suppress(FileFormatError):
            models.load_model(saved)


def other_kinds(folder: Path) -> dict[str, tuple[bytes, str]]:
    archive = folder / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("config.json", "{}")
    return {
        "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file (Keras)"),
        "zip": (archive.read_bytes(), "is a zip archive (.keras or .npz)"),
        "pickle": (pickle.dumps([1, 2]), "is a pickle"),
        "npy": (b"\x93NUMPY" + bytes(100), "is a NumPy .npy file"),
    }


@pytest.mark.parametrize("kind", ["hdf5", "zip", "pickle", "npy"])
def test_files_of_another_kind(kind: str, tmp_path: Path) -> None:
    content, what = other_kinds(tmp_path)[kind]
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        models.load_model(path)
    assert str(caught.value) == (
        f'"{path}" {what}, not a file that model.save wrote. '
        "Weights of a Keras model can be carried over with get_weights() there and set_weights() here."
    )


def test_other_safetensors_newer_formats_folders_and_nothing(saved: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.ones(3)}, tmp_path / "foreign")
    with pytest.raises(FileFormatError, match=r"is a safetensors file, but not one that model.save wrote"):
        models.load_model(tmp_path / "foreign")
    save_file({"a": np.ones(3)}, tmp_path / "newer", metadata={saving.KEY: json.dumps({"format": 99})})
    with pytest.raises(FileFormatError, match=r"has format 99; this version of unrolled reads up to 1. Upgrade: pip"):
        models.load_model(tmp_path / "newer")
    save_file({"a": np.ones(3)}, tmp_path / "header", metadata={saving.KEY: "{"})
    with pytest.raises(FileFormatError, match=r"has a broken header. Save the model again."):
        models.load_model(tmp_path / "header")
    with pytest.raises(FileFormatError, match=r"is a folder, not a file that model.save wrote"):
        models.load_model(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'There is no file ".*missing"'):
        models.load_model(tmp_path / "missing")
    arrays, header = saving.read_file(saved)
    del arrays["weights/" + header["weights"][1]]
    saving.write_file(saved, arrays, header)
    with pytest.raises(FileFormatError, match=r"lacks weights that its header names: .*kernel'. Save the model again."):
        models.load_model(saved)


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_an_interrupted_save_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    before = saved.read_bytes()

    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, where, full)
    with pytest.raises(OSError, match=r"No space left"):
        models.Sequential([layers.Dense(1, input_shape=(2,))]).save(saved)
    assert saved.read_bytes() == before and list(saved.parent.iterdir()) == [saved]
