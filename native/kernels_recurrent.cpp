// Compiled once per instruction set: the table of kernels for float and double.
#include "backward_pass.h"
#include "cells/gru.h"
#include "cells/gru_reset_before.h"
#include "cells/lstm.h"
#include "cells/simple_rnn.h"
#include "pooling.h"
#include "projection.h"

namespace UNROLLED_LEVEL {
namespace {

using unrolled::CellKind;

#define CELL(name, type, gate_count, slot_count, states, biases)                                     \
  static_assert(type<float>::gates == gate_count && type<float>::slots == slot_count &&              \
                type<float>::has_c == (states == 2) && type<float>::recurrent_bias == (biases == 2));
#include "cells.def"
#undef CELL

// f with the struct of a cell.
template <class F> auto with_cell(CellKind cell, const F &f) {
  switch (cell) {
#define CELL(name, type, ...) \
  case CellKind::name: return f.template operator()<type>();
#include "cells.def"
#undef CELL
  }
  __builtin_unreachable();
}

template <class T> void project(const ProjectArgs<T> &args) {
  with_cell(args.cell, [&]<template <class> class Cell>() { Projection<Cell, T>::forward(args); });
}
template <class T> void project_backward(const ProjectBackwardArgs<T> &args) {
  with_cell(args.cell, [&]<template <class> class Cell>() { Projection<Cell, T>::backward(args); });
}
template <class T> unrolled::Work *project_later(const ProjectArgs<T> &args) {
  return with_cell(args.cell, [&]<template <class> class Cell>() { return Projection<Cell, T>::forward_later(args); });
}
template <class T> unrolled::Work *project_backward_later(const ProjectBackwardArgs<T> &args) {
  return with_cell(args.cell, [&]<template <class> class Cell>() { return Projection<Cell, T>::backward_later(args); });
}
template <class T> void forward(const ForwardArgs<T> &args) {
  with_cell(args.cell, [&]<template <class> class Cell>() { Recurrence<Cell, T>::forward(args); });
}
template <class T> void backward(const BackwardArgs<T> &args) {
  with_cell(args.cell, [&]<template <class> class Cell>() { BackwardPass<Cell, T>::backward(args); });
}
template <class T> void both(const ForwardArgs<T> &forward, const BackwardArgs<T> &args, const unrolled::Above &above) {
  with_cell(args.cell, [&]<template <class> class Cell>() { BackwardPass<Cell, T>::both(forward, args, above); });
}

template <class T> constexpr unrolled::Kernels<T> table() {
  return {width<T>, project<T>, forward<T>, backward<T>, both<T>, project_backward<T>,
          project_later<T>, project_backward_later<T>, collect<T>, pool<T>, pool_backward<T>};
}

}  // namespace

extern const unrolled::Kernels<float> kernels_float;
extern const unrolled::Kernels<double> kernels_double;
// constinit: nothing of this level may run when the module loads.
constinit const unrolled::Kernels<float> kernels_float = table<float>();
constinit const unrolled::Kernels<double> kernels_double = table<double>();

}  // namespace UNROLLED_LEVEL
