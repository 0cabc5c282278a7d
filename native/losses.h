// losses.h: cross-entropy from logits and its gradient, row by row; in double, whatever the arrays are.
//
// Legend: z (n, K) logits; t (n, K) labels or probabilities; value (n,); d (n, K) gradient, or null.
//   sigmoid: value = mean_k max(z, 0) - z t + log(1 + exp(-|z|))     d = (sigmoid(z) - t) / K
//   softmax: value = -sum_k t log p, p = softmax(z)                  d = p sum_k t_k - t
#pragma once
#include <cmath>
#include <cstdint>

#include "threads.h"

namespace unrolled {

template <class T> void sigmoid_row(int K, const T *z, const T *t, T *value, T *d) {
  double sum = 0;
  for (int k = 0; k < K; k++) {
    const double x = z[k], small = std::exp(-std::fabs(x));  // at most 1: no overflow
    sum += (x > 0 ? x : 0) - x * t[k] + std::log1p(small);
    if (d) d[k] = T(((x >= 0 ? 1 : small) / (1 + small) - t[k]) / K);
  }
  *value = T(sum / K);
}

template <class T> void softmax_row(int K, const T *z, const T *t, T *value, T *d) {
  double largest = z[0], sum = 0, labels = 0, loss = 0;
  for (int k = 1; k < K; k++) largest = z[k] > largest ? z[k] : largest;
  for (int k = 0; k < K; k++) sum += std::exp(z[k] - largest);
  const double log_sum = std::log(sum);
  for (int k = 0; k < K; k++) labels += t[k], loss -= t[k] * (z[k] - largest - log_sum);
  for (int k = 0; k < K && d; k++) d[k] = T(std::exp(z[k] - largest) / sum * labels - t[k]);
  *value = T(loss);
}

template <class T> void cross_entropy(bool softmax, int64_t n, int K, const T *z, const T *t, T *value, T *d) {
  constexpr int64_t entries = 4096;  // a task's
  const int64_t rows = K < entries ? entries / K : 1;
  parallel_for(int((n + rows - 1) / rows), [&](int task) {
    const int64_t last = (task + 1) * rows < n ? (task + 1) * rows : n;
    for (int64_t r = task * rows; r < last; r++)
      (softmax ? softmax_row<T> : sigmoid_row<T>)(K, z + r * K, t + r * K, value + r, d ? d + r * K : nullptr);
  });
}

// The sum of values, each times its weight (or null: once), in float64 and in their order.
template <class T> double weighted_sum(size_t n, const T *value, const T *weight) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += weight ? double(value[i]) * double(weight[i]) : double(value[i]);
  return sum;
}

}  // namespace unrolled
