// bind_numpy.cpp: arrays for Python by NumPy's own C function: the way through the buffer protocol takes longer, and a training
// step returns some fifteen of them.
#include "bindings.h"

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

namespace unrolled {
namespace {

template <class T> constexpr int type_number() = delete;
template <> constexpr int type_number<int32_t>() { return NPY_INT32; }
template <> constexpr int type_number<float>() { return NPY_FLOAT32; }
template <> constexpr int type_number<double>() { return NPY_FLOAT64; }

nb::object make(int type, void *data, nb::object owner, int axes, npy_intp *lengths, npy_intp *strides) {
  nb::object array =
      nb::steal(PyArray_New(&PyArray_Type, axes, lengths, type, strides, data, 0, NPY_ARRAY_CARRAY, nullptr));
  if (!array.is_valid()) throw nb::python_error();
  if (PyArray_SetBaseObject(reinterpret_cast<PyArrayObject *>(array.ptr()), owner.release().ptr()) < 0)
    throw nb::python_error();
  return array;
}

}  // namespace

void import_numpy() {
  if (PyArray_ImportNumPyAPI() < 0) throw nb::python_error();
}

template <class T> nb::object numpy_array(const Owned<T> &from, size_t length) {
  npy_intp lengths[] = {npy_intp(length)};
  return make(type_number<T>(), from.data, from.owner, 1, lengths, nullptr);
}

template <class T> nb::object numpy_array(const Owned<T> &from, size_t rows, size_t columns, size_t apart) {
  npy_intp lengths[] = {npy_intp(rows), npy_intp(columns)}, strides[] = {npy_intp(apart * sizeof(T)), sizeof(T)};
  return make(type_number<T>(), from.data, from.owner, 2, lengths, strides);
}

#define ARRAYS_OF(T)                                            \
  template nb::object numpy_array<T>(const Owned<T> &, size_t); \
  template nb::object numpy_array<T>(const Owned<T> &, size_t, size_t, size_t);
ARRAYS_OF(int32_t)
ARRAYS_OF(float)
ARRAYS_OF(double)
#undef ARRAYS_OF

}  // namespace unrolled
