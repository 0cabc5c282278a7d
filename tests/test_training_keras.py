"""Whole trainings of Embedding, LSTM, GRU and Dense end where Keras 3.15 on JAX ends.

On JAX, because Keras on TensorFlow squares an Embedding's gradient place by place (docs/keras-differences.md).
"""

from __future__ import annotations

import numpy as np
import pytest

from unrolled import optimizers
from unrolled.layers import GRU, LSTM, Dense, Embedding
from unrolled.models import Sequential
from unrolled.optimizers import SGD, Adam, AdamW, RMSprop

# optimizer, mask_zero, loss, val_loss after each of 3 epochs, and the sum of each weight array at the end
KERAS = [
    (RMSprop(0.01, clipnorm=0.1), False, [0.930204868, 0.913986504, 0.910954773],
     [0.71527797, 0.725952208, 0.728780568],
     [0.97835505, 0.248758316, -0.147817746, 0.663837612, 0.466332555, -0.0455206893, -0.482421398, 0.387477398,
      0.408399791]),
    (RMSprop(0.01, clipnorm=0.1), True, [0.933034837, 0.917472124, 0.91433531], [0.710790634, 0.72086525, 0.724076509],
     [0.835889339, 0.147070423, 0.192618072, 0.458207428, 0.567371368, -0.146185964, -0.914548874, 0.38702935,
      0.420541734]),
    (Adam(0.01), False, [0.935377896, 0.920245886, 0.91254729], [0.700938284, 0.718710899, 0.738567412],
     [0.81074059, 0.063575387, 0.644395769, 0.267174691, 0.908887744, -0.18458882, -0.470183372, 0.396636844,
      0.410831094]),
    (Adam(0.01), True, [0.937501431, 0.923393905, 0.915986001], [0.69886899, 0.714473188, 0.731724977],
     [0.775938988, 0.190172702, 0.577556193, 0.255843341, 1.12821996, -0.260976493, -0.679536581, 0.395204246,
      0.412344486]),
    (AdamW(0.01, global_clipnorm=0.2), False, [0.935333729, 0.919921339, 0.912389338],
     [0.701327264, 0.719836295, 0.740214825],
     [0.803853333, 0.0877525806, 0.658032179, 0.266136795, 0.916825771, -0.190796018, -0.485677451, 0.397934318,
      0.413084328]),
    (AdamW(0.01, global_clipnorm=0.2), True, [0.937464178, 0.923062146, 0.915776908],
     [0.699254096, 0.715533912, 0.733258903],
     [0.769837737, 0.213230222, 0.575719774, 0.256496459, 1.12285781, -0.263200879, -0.692391694, 0.396571964,
      0.414732665]),
    (SGD(0.1, momentum=0.9, nesterov=True), False, [0.934525669, 0.918563366, 0.914392173],
     [0.704100549, 0.731630266, 0.754002988],
     [0.766213655, 0.607661426, 0.312390953, 0.312111616, 0.242027849, 0.0942381322, -0.00319454074, 0.390603244,
      0.629759312]),
    (SGD(0.1, momentum=0.9, nesterov=True), True, [0.93618995, 0.92024976, 0.915796697],
     [0.702651441, 0.729317009, 0.751519382],
     [0.765492678, 0.607789755, 0.314393461, 0.310623109, 0.239742011, 0.0955362841, -0.00119483471, 0.389089733,
      0.640730679]),
]  # fmt: skip


def start_weights(shapes):
    return [0.4 * np.sin(1 + np.arange(np.prod(s)) * (1 + 0.37 * i)).reshape(s) for i, s in enumerate(shapes)]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", KERAS, ids=lambda case: f"{case[0].name}-mask_zero={case[1]}")
def test_three_epochs_end_where_keras_does(case):
    optimizer, mask_zero, loss, val_loss, sums = case
    x = (np.arange(60 * 7).reshape(60, 7) * 31 % 97 % 20) + 1
    x[::3, :3] = 0
    y = (x[:, 4] > x[:, 5]).astype(int)
    model = Sequential(
        [
            Embedding(21, 4, mask_zero=mask_zero, input_length=7),
            LSTM(5, return_sequences=True),
            GRU(3),
            Dense(1, activation="sigmoid"),
        ]
    )
    model.set_weights(start_weights([p.shape for p in model.weights]))
    model.compile(optimizers.get(optimizers.serialize(optimizer)), "binary_crossentropy", metrics=["acc"])
    history = model.fit(
        x, y, batch_size=16, epochs=3, shuffle=False, verbose=0, validation_split=0.2, class_weight={0: 1.0, 1: 2.0}
    ).history
    assert history["loss"] == pytest.approx(loss, rel=2e-6)  # float32: 9 steps of rounding
    assert history["val_loss"] == pytest.approx(val_loss, rel=2e-6)
    assert history["acc"] == pytest.approx([28 / 48] * 3)
    # where a gradient is near zero Adam and RMSprop turn its rounding into a step
    assert [float(w.sum(dtype=float)) for w in model.get_weights()] == pytest.approx(sums, abs=2e-5)
