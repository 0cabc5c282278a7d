"""Writes layers.npz with Keras on TensorFlow in float64; by hand: KERAS_BACKEND=tensorflow python make_layers.py"""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[1]))
from layer_cases import cases, cotangent, weights

keras.config.set_floatx("float64")
out = {}
for name, (x, layers) in cases(keras.layers).items():
    model = keras.Sequential(layers)
    model(tf.constant(x))
    model.set_weights(weights(name, [tuple(w.shape) for w in model.weights]))
    with tf.GradientTape() as tape:
        y = model(tf.constant(x))
        loss = tf.reduce_sum(y * cotangent(name, tuple(y.shape)))
    out[f"{name}/y"] = y.numpy()
    for i, d in enumerate(tape.gradient(loss, model.trainable_variables)):
        out[f"{name}/d{i}"] = tf.convert_to_tensor(d).numpy()
np.savez_compressed(Path(__file__).with_name("layers.npz"), **out)
print("keras", keras.__version__, len(out), "arrays")
