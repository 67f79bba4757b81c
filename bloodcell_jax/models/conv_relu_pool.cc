// max_pool(relu(conv(x) + bias)) with windows of 2x2, and its gradients, for float32 on a CPU.
//
// Arrays are dense, row by row: x [B, H, W, I], kernel [R, S, I, O], bias [O]; y and place [B, h, w, O], where place is
// 0 to 3, the first of the largest values of a window. Stride 1, no padding, O a multiple of 32.
//
// Forward: the outputs of a few windows stay in registers until they are pooled. Backward: of the four outputs of a
// window one alone has a gradient, and none where relu is 0, so that three quarters of the products or more are left
// out.
//
// Every image is computed by itself, and sums over images have one order whatever the number of threads.

#ifndef __AVX2__
#error needs a processor with AVX2, on others it has not been measured
#endif

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

#ifdef __AVX512F__
constexpr int kLanes = 16;   // of a vector
constexpr int kWindows = 3;  // side by side whose outputs are in registers together
#else
constexpr int kLanes = 8;
constexpr int kWindows = 1;
#endif
typedef float Floats __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
typedef int32_t Ints __attribute__((vector_size(4 * kLanes), aligned(4)));
typedef int8_t Bytes __attribute__((vector_size(kLanes), aligned(1)));

constexpr int kVectors = 2;  // of outputs in a block
constexpr int kBlock = kLanes * kVectors;
constexpr int kMostChunks = 16;  // of a batch, whatever the number of threads: so that sums have one order
constexpr int64_t kMostSums = 1 << 18;  // in a core's cache

// Not by memcpy, which g++ 12 does in halves with AVX2.
inline Floats load(const float* p) { return *reinterpret_cast<const Floats*>(p); }
inline void store(float* p, Floats v) { *reinterpret_cast<Floats*>(p) = v; }
inline Floats all(float value) { return Floats{} + value; }

// Calls task(0) to task(count - 1) on the pool's threads and this one; returns when all have ended.
void in_parallel(ffi::ThreadPool pool, int64_t count, std::function<void(int64_t)> task) {
  struct Shared {
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::condition_variable ended;
    int64_t num_ended = 0;
  };
  auto shared = std::make_shared<Shared>();
  auto work = [shared, count, task] {
    int64_t mine = 0;
    for (int64_t i; (i = shared->next.fetch_add(1)) < count; ++mine) task(i);
    if (!mine) return;
    std::lock_guard<std::mutex> lock(shared->mutex);
    shared->num_ended += mine;
    if (shared->num_ended == count) shared->ended.notify_all();
  };
  const int64_t helpers = std::min<int64_t>(count, pool.num_threads()) - 1;
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule(std::function<void()>(work));
  work();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->ended.wait(lock, [&] { return shared->num_ended == count; });
}

struct Shape {
  int64_t batch, height, width, in, rows, columns, out, pooled_height, pooled_width;
  int64_t run() const { return columns * in; }  // of a kernel row, contiguous in x as well
};

// The pooled outputs of `windows` windows side by side and one block of channels. x points to the first pixel,
// kernel to [rows, run, kBlock].
template <int64_t In, int windows>
void pool_tile(const Shape& s, const float* x, const float* kernel, const float* bias, float* y, int8_t* place) {
  // A constant where it is known: the offsets of the windows are then part of the instructions.
  const int64_t pixel = In ? In : s.in, line = s.width * pixel, run = s.columns * pixel;
  Floats sum[2][2 * windows][kVectors] = {};
  for (int64_t r = 0; r < s.rows; ++r) {
    const float *top = x + r * line, *bottom = top + line, *k = kernel + r * run * kBlock;
    for (int64_t t = 0; t < run; ++t, k += kBlock) {
      Floats weight[kVectors];
      for (int v = 0; v < kVectors; ++v) weight[v] = load(k + v * kLanes);
#pragma GCC unroll 8
      for (int c = 0; c < 2 * windows; ++c) {
        const Floats a = all(top[t + c * pixel]), b = all(bottom[t + c * pixel]);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
          sum[0][c][v] += a * weight[v];
          sum[1][c][v] += b * weight[v];
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int w = 0; w < windows; ++w) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const Floats a = sum[0][2 * w][v], b = sum[0][2 * w + 1][v], c = sum[1][2 * w][v], d = sum[1][2 * w + 1][v];
      const Floats ab = a > b ? a : b, cd = c > d ? c : d;
      Floats largest = ab > cd ? ab : cd;
      // One that is not a number is the largest.
      largest = (a != a) | (b != b) | (c != c) | (d != d) ? a + b + c + d : largest;
      const Ints first = a == largest ? Ints{} : b == largest ? Ints{} + 1 : c == largest ? Ints{} + 2 : Ints{} + 3;
      const Floats z = largest + load(bias + v * kLanes);
      store(y + w * s.out + v * kLanes, z <= 0 ? Floats{} : z);
      const Bytes bytes = __builtin_convertvector(first, Bytes);
      std::memcpy(place + w * s.out + v * kLanes, &bytes, sizeof bytes);
    }
  }
}

template <int64_t In, int windows>
int64_t pool_tiles(const Shape& s, int64_t first, const float* x, const float* kernel, const float* bias, float* y,
                   int8_t* place) {
  int64_t j = first;
  for (; j + windows <= s.pooled_width; j += windows)
    pool_tile<In, windows>(s, x + 2 * j * s.in, kernel, bias, y + j * s.out, place + j * s.out);
  return j;
}

template <int64_t In>
void pool_line(const Shape& s, const float* x, const float* kernel, const float* bias, float* y, int8_t* place) {
  for (int64_t o = 0; o < s.out; o += kBlock) {
    const float* block = kernel + o * s.rows * s.run();
    int64_t j = 0;
    if (kWindows >= 3) j = pool_tiles<In, 3>(s, j, x, block, bias + o, y + o, place + o);
    if (kWindows >= 2) j = pool_tiles<In, 2>(s, j, x, block, bias + o, y + o, place + o);
    pool_tiles<In, 1>(s, j, x, block, bias + o, y + o, place + o);
  }
}

using Line = void (*)(const Shape&, const float*, const float*, const float*, float*, int8_t*);
Line line_of(int64_t in) {
  switch (in) {
    case 1: return pool_line<1>;
    case 3: return pool_line<3>;
    case 32: return pool_line<32>;
    case 64: return pool_line<64>;
    case 128: return pool_line<128>;
  }
  return pool_line<0>;
}

using F32 = ffi::Buffer<ffi::F32>;
using S8 = ffi::Buffer<ffi::S8>;

ffi::Error shape_of(ffi::Span<const int64_t> x, ffi::Span<const int64_t> kernel, Shape* s) {
  if (x.size() != 4 || kernel.size() != 4 || x[3] != kernel[2] || kernel[3] % 32)
    return ffi::Error::InvalidArgument("x must be [B, H, W, I] and kernel [R, S, I, O], O a multiple of 32");
  *s = {x[0], x[1], x[2], x[3], kernel[0], kernel[1], kernel[3], (x[1] - kernel[0] + 1) / 2, (x[2] - kernel[1] + 1) / 2};
  return ffi::Error::Success();
}

ffi::Error forward(ffi::ThreadPool pool, F32 x, F32 kernel, F32 bias, ffi::Result<F32> y, ffi::Result<S8> place) {
  Shape s;
  if (ffi::Error error = shape_of(x.dimensions(), kernel.dimensions(), &s); error.failure()) return error;
  // Blocks of outputs one after the other, each [R, S, I, kBlock].
  std::vector<float> blocks(s.rows * s.run() * s.out);
  const float* k = kernel.typed_data();
  for (int64_t t = 0; t < s.rows * s.run(); ++t)
    for (int64_t o = 0; o < s.out; o += kBlock)
      std::memcpy(&blocks[o * s.rows * s.run() + t * kBlock], k + t * s.out + o, sizeof(float) * kBlock);
  const Line line = line_of(s.in);
  const float *from = x.typed_data(), *b = bias.typed_data();
  float* to = y->typed_data();
  int8_t* at = place->typed_data();
  in_parallel(pool, s.batch, [&](int64_t image) {
    for (int64_t i = 0; i < s.pooled_height; ++i) {
      const int64_t start = (image * s.pooled_height + i) * s.pooled_width * s.out;
      line(s, from + (image * s.height + 2 * i) * s.width * s.in, blocks.data(), b, to + start, at + start);
    }
  });
  return ffi::Error::Success();
}

// An entry is a gradient that is not 0: its value, and where in x the kernel lies on it, or its channel.

// Adds value * x[offset ...] of each entry to so many vectors of sums.
template <int vectors>
void add_run(int64_t count, const int32_t* offset, const float* value, const float* x, float* sums) {
  Floats sum[vectors];
#pragma GCC unroll 24
  for (int v = 0; v < vectors; ++v) sum[v] = load(sums + v * kLanes);
  for (int64_t e = 0; e < count; ++e) {
    const Floats g = all(value[e]);
    const float* p = x + offset[e];
#pragma GCC unroll 24
    for (int v = 0; v < vectors; ++v) sum[v] += g * load(p + v * kLanes);
  }
#pragma GCC unroll 24
  for (int v = 0; v < vectors; ++v) store(sums + v * kLanes, sum[v]);
}

// The same for the three rows of a short kernel together, `line` apart in x and `stride` apart in the sums.
template <int vectors>
void add_short_runs(int64_t count, const int32_t* offset, const float* value, const float* x, int64_t line, float* sums,
                    int64_t stride) {
  Floats even[3][vectors] = {}, odd[3][vectors] = {};
  auto add = [&](int64_t e, Floats(&sum)[3][vectors]) {
    const Floats g = all(value[e]);
#pragma GCC unroll 3
    for (int r = 0; r < 3; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sum[r][v] += g * load(x + offset[e] + r * line + v * kLanes);
  };
  int64_t e = 0;
  for (; e + 2 <= count; e += 2) {
    add(e, even);
    add(e + 1, odd);
  }
  if (e < count) add(e, even);
  for (int r = 0; r < 3; ++r)
    for (int v = 0; v < vectors; ++v) {
      float* p = sums + r * stride + v * kLanes;
      store(p, load(p) + (even[r][v] + odd[r][v]));
    }
}

// How many rows of windows are taken together: enough entries for a channel, few enough to stay in cache.
int64_t band_of(const Shape& s) {
  return std::min(s.pooled_height, std::max<int64_t>(1, 32 / std::max<int64_t>(1, s.pooled_width)));
}

// The kernel's gradient of some images for outputs `first` to `last`: sums [last - first, R, run rounded up to
// vectors], and the bias's [last - first].
void kernel_gradient(const Shape& s, int64_t first, int64_t last, int64_t images, const float* x, const float* y,
                     const int8_t* place, const float* g, float* sums, float* bias) {
  const int64_t line = s.width * s.in, run = s.run(), wide = (run + kLanes - 1) / kLanes * kLanes;
  const int64_t band = band_of(s), most = band * s.pooled_width, outputs = last - first;
  std::vector<int32_t> offset(outputs * most), count(outputs);
  std::vector<float> value(outputs * most), padded;
  // Vectors reach beyond a short row, at the end of the last image beyond x.
  if (wide != run) padded.assign((2 * band + s.rows - 1) * line + kLanes, 0.0f);
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t i = 0; i < s.pooled_height; i += band) {
      const int64_t lines = std::min(band, s.pooled_height - i);
      std::fill(count.begin(), count.end(), 0);
      for (int64_t j = 0; j < lines * s.pooled_width; ++j) {
        const int64_t start = ((n * s.pooled_height + i) * s.pooled_width + j) * s.out + first;
        const int64_t corner = 2 * (j / s.pooled_width) * line + 2 * (j % s.pooled_width) * s.in;
        for (int64_t o = 0; o < outputs; ++o) {
          // Written in any case, and kept by counting on: a branch would be mispredicted half of the time.
          const int64_t at = start + o, free = o * most + count[o];
          const int p = place[at];
          offset[free] = corner + (p >> 1) * line + (p & 1) * s.in;
          value[free] = g[at];
          count[o] += y[at] > 0;
        }
      }
      const float* from = x + n * s.height * line + 2 * i * line;
      if (!padded.empty()) {
        std::memcpy(padded.data(), from, sizeof(float) * (2 * lines + s.rows - 1) * line);
        from = padded.data();
      }
      for (int64_t o = 0; o < outputs; ++o) {
        const int32_t* at = &offset[o * most];
        const float* v = &value[o * most];
        float total = 0;
        for (int64_t e = 0; e < count[o]; ++e) total += v[e];
        bias[o] += total;
        float* sum = sums + o * s.rows * wide;
        if (wide <= 16 && s.rows == 3) {
          (wide == kLanes ? add_short_runs<1> : add_short_runs<2>)(count[o], at, v, from, line, sum, wide);
          continue;
        }
        for (int64_t r = 0; r < s.rows; ++r) {
          for (int64_t t = 0; t < wide;) {
            const int64_t left = (wide - t) / kLanes;
            const float* begin = from + r * line + t;
            float* to = sum + r * wide + t;
            if (left >= 12) { add_run<12>(count[o], at, v, begin, to); t += 12 * kLanes; }
            else if (left >= 6) { add_run<6>(count[o], at, v, begin, to); t += 6 * kLanes; }
            else { add_run<1>(count[o], at, v, begin, to); t += kLanes; }
          }
        }
      }
    }
  }
}

// Adds value * kernel[channel] of the entries at one place of a window to the pixels under it; kernel is
// [O, rows, columns, kLanes].
template <int place, int rows, int columns>
inline void add_entries(int64_t count, const int32_t* channel, const float* value, const float* kernel,
                        Floats (&sum)[rows + 1][columns + 1]) {
  for (int64_t e = 0; e < count; ++e) {
    const Floats g = all(value[e]);
    const float* k = kernel + channel[e] * rows * columns * kLanes;
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int c = 0; c < columns; ++c) sum[r + place / 2][c + place % 2] += g * load(k + (r * columns + c) * kLanes);
  }
}

// The gradient by the input of one image, for kernels of 3x3, [I / kLanes, O, 3, 3, kLanes]; dx is 0 before.
void input_gradient(const Shape& s, const float* kernel, const float* y, const int8_t* place, const float* g,
                    float* dx) {
  constexpr int rows = 3, columns = 3;
  const int64_t line = s.width * s.in, band = band_of(s), size = 4 * s.out;
  // Of each window four lists, one for each place.
  std::vector<int32_t> channel(band * s.pooled_width * size), count(band * s.pooled_width * 4);
  std::vector<float> value(channel.size());
  for (int64_t i = 0; i < s.pooled_height; i += band) {
    const int64_t windows = std::min(band, s.pooled_height - i) * s.pooled_width;
    std::fill(count.begin(), count.end(), 0);
    for (int64_t j = 0; j < windows; ++j) {
      const int64_t start = (i * s.pooled_width + j) * s.out;
      for (int64_t o = 0; o < s.out; ++o) {
        const int p = place[start + o];
        const int64_t free = j * size + p * s.out + count[4 * j + p];
        channel[free] = o;
        value[free] = g[start + o];
        count[4 * j + p] += y[start + o] > 0;
      }
    }
    for (int64_t in = 0; in < s.in; in += kLanes) {
      const float* k = kernel + in * s.out * rows * columns;
      for (int64_t j = 0; j < windows; ++j) {
        Floats sum[rows + 1][columns + 1] = {};
        const int32_t *c = &channel[j * size], *num = &count[4 * j];
        const float* v = &value[j * size];
        add_entries<0, rows, columns>(num[0], c, v, k, sum);
        add_entries<1, rows, columns>(num[1], c + s.out, v + s.out, k, sum);
        add_entries<2, rows, columns>(num[2], c + 2 * s.out, v + 2 * s.out, k, sum);
        add_entries<3, rows, columns>(num[3], c + 3 * s.out, v + 3 * s.out, k, sum);
        float* to = dx + 2 * (i + j / s.pooled_width) * line + 2 * (j % s.pooled_width) * s.in + in;
        for (int r = 0; r <= rows; ++r)
          for (int q = 0; q <= columns; ++q) {
            float* pixel = to + r * line + q * s.in;
            store(pixel, load(pixel) + sum[r][q]);
          }
      }
    }
  }
}

ffi::Error by_kernel(ffi::ThreadPool pool, F32 x, F32 y, S8 place, F32 g, ffi::Result<F32> dkernel,
                     ffi::Result<F32> dbias) {
  Shape s;
  if (ffi::Error error = shape_of(x.dimensions(), dkernel->dimensions(), &s); error.failure()) return error;
  const int64_t run = s.run(), wide = (run + kLanes - 1) / kLanes * kLanes, size = s.rows * wide;
  const int64_t pixels = s.height * s.width * s.in, pooled = s.pooled_height * s.pooled_width * s.out;
  // Sums that fit into a core's cache are divided by images; larger ones by outputs.
  const int64_t chunks = s.out * size <= kMostSums ? std::min<int64_t>(s.batch, kMostChunks) : 1;
  const int64_t parts = chunks > 1 ? 1 : s.out / 32, outputs = s.out / parts;
  std::vector<float> sums(chunks * s.out * (size + 1), 0.0f);
  float* biases = sums.data() + chunks * s.out * size;
  const float *from = x.typed_data(), *out = y.typed_data(), *grad = g.typed_data();
  const int8_t* at = place.typed_data();
  in_parallel(pool, chunks * parts, [&](int64_t task) {
    const int64_t chunk = task / parts, part = task % parts;
    const int64_t first = chunk * s.batch / chunks, last = (chunk + 1) * s.batch / chunks;
    const int64_t place_of_sums = chunk * s.out + part * outputs;
    kernel_gradient(s, part * outputs, (part + 1) * outputs, last - first, from + first * pixels,
                    out + first * pooled, at + first * pooled, grad + first * pooled, &sums[place_of_sums * size],
                    biases + place_of_sums);
  });
  float *dk = dkernel->typed_data(), *db = dbias->typed_data();
  in_parallel(pool, s.out / 32, [&](int64_t block) {
    for (int64_t r = 0; r < s.rows; ++r)
      for (int64_t t = 0; t < run; ++t)
        for (int64_t o = 32 * block; o < 32 * (block + 1); ++o) {
          float sum = 0;
          for (int64_t c = 0; c < chunks; ++c) sum += sums[(c * s.out + o) * size + r * wide + t];
          dk[(r * run + t) * s.out + o] = sum;
        }
    for (int64_t o = 32 * block; o < 32 * (block + 1); ++o) {
      db[o] = 0;
      for (int64_t c = 0; c < chunks; ++c) db[o] += biases[c * s.out + o];
    }
  });
  return ffi::Error::Success();
}

ffi::Error by_input(ffi::ThreadPool pool, F32 kernel, F32 y, S8 place, F32 g, ffi::Result<F32> dx) {
  Shape s;
  if (ffi::Error error = shape_of(dx->dimensions(), kernel.dimensions(), &s); error.failure()) return error;
  if (s.rows != 3 || s.columns != 3 || s.in % kLanes)
    return ffi::Error::InvalidArgument("the kernel must be [3, 3, I, O], I a multiple of 16");
  const int64_t places = s.rows * s.columns;
  const int64_t pixels = s.height * s.width * s.in, pooled = s.pooled_height * s.pooled_width * s.out;
  std::vector<float> turned(places * s.in * s.out);  // [I / kLanes, O, 3, 3, kLanes]
  const float* k = kernel.typed_data();
  in_parallel(pool, s.in / kLanes, [&](int64_t block) {
    for (int64_t o = 0; o < s.out; ++o)
      for (int64_t p = 0; p < places; ++p)
        for (int64_t i = 0; i < kLanes; ++i)
          turned[((block * s.out + o) * places + p) * kLanes + i] = k[(p * s.in + block * kLanes + i) * s.out + o];
  });
  const float *out = y.typed_data(), *grad = g.typed_data();
  const int8_t* at = place.typed_data();
  float* to = dx->typed_data();
  in_parallel(pool, s.batch, [&](int64_t n) {
    std::memset(to + n * pixels, 0, sizeof(float) * pixels);
    input_gradient(s, turned.data(), out + n * pooled, at + n * pooled, grad + n * pooled, to + n * pixels);
  });
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    ConvReluPool, forward,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<F32>().Arg<F32>().Arg<F32>().Ret<F32>().Ret<S8>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    ConvReluPoolByKernel, by_kernel,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<F32>().Arg<F32>().Arg<S8>().Arg<F32>().Ret<F32>().Ret<F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    ConvReluPoolByInput, by_input,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<F32>().Arg<F32>().Arg<S8>().Arg<F32>().Ret<F32>());
