"""Writes metrics.npz with Keras on TensorFlow; by hand: KERAS_BACKEND=tensorflow python make_metrics.py"""

import sys
from pathlib import Path

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from metric_cases import results

found = results(keras.metrics)
np.savez_compressed(Path(__file__).with_name("metrics.npz"), **found)
print("keras", keras.__version__, len(found), "results")
