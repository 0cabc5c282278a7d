// packing.h: columns of a kernel in the orders that the products read, and packed sums back into a kernel.
//
// A kernel (rows, all*H) has the H columns of each gate side by side. Packed, W units of all gates that go together stand
// side by side, [unit block][gate][W], and units beyond H are zeros.
#pragma once
#include "product.h"

namespace UNROLLED_LEVEL {

// The columns of `gates` gates from `first` on, of the `all` gates of a kernel with H units.
struct GateColumns {
  int H, all, first, gates;
  size_t row_length() const { return size_t(all) * H; }
  size_t of(int gate, int unit) const { return size_t(first + gate) * H + unit; }
};

constexpr int worth_sharing = 1 << 15;  // entries from which packing is shared out among threads

// W entries of which `some` are there; the others are zeros.
template <class T> static inline void take_lanes(T *to, const T *from, int some) {
  constexpr int W = width<T>;
  if (some >= W) return store<T>(to, load<T>(from));
  for (int j = 0; j < W; j++) to[j] = j < some ? from[j] : T(0);
}

// One row, or null for zeros.
template <class T> static void pack_row(const T *row, const GateColumns &columns, T *out) {
  constexpr int W = width<T>;
  for (int u = 0; u < columns.H; u += W)
    for (int g = 0; g < columns.gates; g++, out += W)
      take_lanes<T>(out, row ? row + columns.of(g, u) : out, row ? columns.H - u : 0);
}

template <class T> static void unpack_row(const T *packed, const GateColumns &columns, T *row) {
  constexpr int W = width<T>;
  for (int u = 0; u < columns.H; u += W)
    for (int g = 0; g < columns.gates; g++, packed += W) {
      const int some = columns.H - u < W ? columns.H - u : W;
      memcpy(row + columns.of(g, u), packed, sizeof(T) * some);
    }
}

// [unit block][row][gate][W]: for products with rows of features or states.
template <class T> static void pack_by_unit(const T *kernel, int rows, const GateColumns &columns, T *out) {
  constexpr int W = width<T>;
  const int blocks = (columns.H + W - 1) / W;
  const bool shared = size_t(rows) * columns.gates * blocks * W >= worth_sharing;
  unrolled::parallel_if(shared, blocks, [&](int block) {
    T *to = out + size_t(block) * rows * columns.gates * W;
    for (int k = 0; k < rows; k++)
      for (int g = 0; g < columns.gates; g++, to += W)
        take_lanes<T>(to, kernel + k * columns.row_length() + columns.of(g, block * W), columns.H - block * W);
  });
}

// The same columns side by side in panels of up to 4 vectors, each [row][vector][W]: for panels_product.
template <class T> static void pack_in_panels(const T *kernel, int rows, const GateColumns &columns, T *out) {
  constexpr int W = width<T>;
  const int vectors = columns.gates * round_up(columns.H, W) / W, panels = (vectors + panel_columns - 1) / panel_columns;
  unrolled::parallel_if(size_t(rows) * vectors * W >= worth_sharing, panels, [&](int panel) {
    const int first = panel * panel_columns;
    const int last = first + panel_columns < vectors ? first + panel_columns : vectors;
    T *to = out + size_t(first) * W * rows;
    for (int k = 0; k < rows; k++)
      for (int v = first; v < last; v++, to += W) {
        const int unit = v / columns.gates * W;
        take_lanes<T>(to, kernel + k * columns.row_length() + columns.of(v % columns.gates, unit), columns.H - unit);
      }
  });
}

// The same columns transposed: panels of a matrix (gates*Hp in packed order, rows).
template <class T> static void pack_transposed(const T *kernel, int rows, const GateColumns &columns, T *out) {
  constexpr int W = width<T>;
  const int H = columns.H, gates = columns.gates, K = gates * round_up(H, W), vectors = (rows + W - 1) / W;
  unrolled::parallel_if(size_t(K) * vectors * W >= worth_sharing, vectors, [&](int v) {
    const int first = v / panel_columns * panel_columns;
    const int side = vectors - first < panel_columns ? vectors - first : panel_columns;  // vectors of this panel
    T *to = out + size_t(first) * W * K + size_t(v - first) * W;
    for (int u = 0; u < H; u += W)
      for (int g = 0; g < gates; g++, to += size_t(W) * side * W)
        for (int j = 0; j < W; j++) {
          T lanes[W] = {};
          const int row = v * W + j;
          if (row < rows) take_lanes<T>(lanes, kernel + row * columns.row_length() + columns.of(g, u), H - u);
          for (int l = 0; l < W; l++) to[size_t(l) * side * W + j] = lanes[l];
        }
  });
}

}  // namespace UNROLLED_LEVEL
