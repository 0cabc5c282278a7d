// pooling.h: the largest value and the mean over the steps of each row, read through the index of a Sequence.
//
// forward:  max[b][f] = largest, mean[b][f] = mean of v[b, t][f] over the kept steps t; v[b, t] = table[rows[index[b, t]]].
// backward: d[i][f] = sum over the kept places (b, t) of value i of
//           (v == max[b][f]) d_max[b][f] / ties[b][f] + d_mean[b][f] / kept[b]; the caller has divided already.
// Sums run over t, or over the places of a value in their order: the same bits for any number of threads.
#pragma once
#include <cstring>

#include "kernels.h"
#include "threads.h"

namespace UNROLLED_LEVEL {

using unrolled::PoolArgs;
using unrolled::PoolBackwardArgs;

template <class T> struct Pooling {
  static const T *value(const unrolled::PoolView<T> &view, int32_t i) {
    return view.table + size_t(view.rows ? view.rows[i] : i) * view.ld;
  }

  static void forward_row(const PoolArgs<T> &args, int b) {
    const auto &view = args.view;
    const int F = view.F;
    T *max = args.max ? args.max + size_t(b) * F : nullptr, *ties = args.max ? args.ties + size_t(b) * F : nullptr;
    T *mean = args.mean ? args.mean + size_t(b) * F : nullptr;
    if (mean) memset(mean, 0, sizeof(T) * F);
    int kept = 0;
    for (int t = 0; t < view.steps; t++) {
      const size_t place = size_t(b) * view.steps + t;
      if (view.mask && !view.mask[place]) continue;
      const T *v = value(view, view.index[place]);
      if (max && kept == 0)
        for (int f = 0; f < F; f++) max[f] = v[f], ties[f] = 1;
      else if (max)
        for (int f = 0; f < F; f++) {  // a NaN wins, and stays: nothing is larger than it
          const T more = ties[f] + (v[f] == max[f] ? T(1) : T(0));
          const bool wins = (v[f] > max[f]) | (v[f] != v[f]);
          ties[f] = wins ? T(1) : more;
          max[f] = wins ? v[f] : max[f];
        }
      if (mean)
        for (int f = 0; f < F; f++) mean[f] += v[f];
      kept++;
    }
    if (max && kept == 0)
      for (int f = 0; f < F; f++) max[f] = 0, ties[f] = 1;
    if (mean && kept)
      for (int f = 0; f < F; f++) mean[f] /= T(kept);
  }

  static void forward(const PoolArgs<T> &args) {
    unrolled::parallel_for(args.view.B, [&](int b) { forward_row(args, b); });
  }

  static void backward(const PoolBackwardArgs<T> &args) {
    constexpr int share = 64;
    const auto &view = args.view;
    const int F = view.F;
    unrolled::parallel_for((args.values + share - 1) / share, [&](int task) {
      const int last = (task + 1) * share < args.values ? (task + 1) * share : args.values;
      for (int i = task * share; i < last; i++) {
        const T *v = value(view, i);
        T *d = args.d_values + size_t(i) * F;
        memset(d, 0, sizeof(T) * F);
        for (int p = args.bucket[i]; p < args.bucket[i + 1]; p++) {
          const size_t place = args.by_value[p];
          if (view.mask && !view.mask[place]) continue;
          const size_t row = place / view.steps * F;
          if (args.d_max) {
            const T *max = args.max + row, *d_max = args.d_max + row;
            for (int f = 0; f < F; f++) d[f] += v[f] == max[f] ? d_max[f] : T(0);
          }
          if (args.d_mean) {
            const T *d_mean = args.d_mean + row;
            for (int f = 0; f < F; f++) d[f] += d_mean[f];
          }
        }
      }
    });
  }
};

template <class T> static void pool(const PoolArgs<T> &args) { Pooling<T>::forward(args); }
template <class T> static void pool_backward(const PoolBackwardArgs<T> &args) { Pooling<T>::backward(args); }

}  // namespace UNROLLED_LEVEL
