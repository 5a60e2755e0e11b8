/* What the event engine's kernels do, once more in C: simulator/kernels/scatter.py, convolution.py, neurons.py,
 * general_neurons.py.
 *
 * c_twins.py compiles this with -O3 -march=native for each combination of TARGET (of a synapse's index), WEIGHT and NUMBER
 * (of currents), and gives the functions the very arrays that it gives to Numba. Arrays are whole and in C order. Where
 * the kernels use LLVM's vectors, these use the intrinsics of AVX-512; other CPUs get plain loops.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __AVX512DQ__
#include <immintrin.h>
#endif

typedef TARGET target;
typedef WEIGHT weight;
typedef NUMBER number;

typedef struct {
    void *data;
    int64_t shape[3];
} array;

enum { PAD = 16 };            /* numbers in a line of the cache */
enum { FETCHED_AHEAD = 128 }; /* synapses */
enum { STRIP = 1024 };        /* neurons */

/* Events of one sample in one step, and the current that they are delivered to; NULL after the last step. */
typedef struct {
    const int32_t *ids;
    const number *values; /* NULL of plain spikes */
    int64_t begin, end;
    number *current;
} delivery;

static delivery deliver(array ids, array values, array starts, int64_t first_step, int64_t n_steps, int64_t delay,
                        array current, int64_t sample, int64_t step)
{
    int64_t ring = current.shape[1], n_neurons = current.shape[2], arrival = first_step + step + delay;
    const int64_t *start = (const int64_t *)starts.data + sample * starts.shape[1];
    delivery d = {
        .ids = (const int32_t *)ids.data + sample * ids.shape[1],
        .values = values.shape[1] ? (const number *)values.data + sample * values.shape[1] : NULL,
        .begin = start[step],
        .end = start[step + 1],
        .current = arrival < n_steps ? (number *)current.data + (sample * ring + arrival % ring) * n_neurons : NULL,
    };
    return d;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* Targets of one event differ: four loads, then four stores. */
static inline void add_four(number *current, const target *places, const weight *w, uint64_t j)
{
    uint64_t i0 = places[j], i1 = places[j + 1], i2 = places[j + 2], i3 = places[j + 3];
    number x0 = current[i0] + w[j], x1 = current[i1] + w[j + 1];
    number x2 = current[i2] + w[j + 2], x3 = current[i3] + w[j + 3];
    current[i0] = x0, current[i1] = x1, current[i2] = x2, current[i3] = x3;
}

/* Adds synapses j ... end to what their targets receive. */
static inline void add_row(number *current, const target *places, const weight *w, uint64_t j, uint64_t end)
{
    for (; j + 4 <= end; j += 4)
        add_four(current, places, w, j);
    for (; j < end; j++)
        current[places[j]] += w[j];
}

/* As add_row for one pixel of each channel. */
static inline void add_channels(number *current, const int32_t *channels, uint64_t plane, const weight *w, uint64_t j,
                                uint64_t end)
{
    for (; j + 4 <= end; j += 4) {
        uint64_t i0 = channels[j] * plane, i1 = channels[j + 1] * plane;
        uint64_t i2 = channels[j + 2] * plane, i3 = channels[j + 3] * plane;
        number x0 = current[i0] + w[j], x1 = current[i1] + w[j + 1];
        number x2 = current[i2] + w[j + 2], x3 = current[i3] + w[j + 3];
        current[i0] = x0, current[i1] = x1, current[i2] = x2, current[i3] = x3;
    }
    for (; j < end; j++)
        current[channels[j] * plane] += w[j];
}

void push_csr(array ids, array values, array starts, int64_t first_step, int64_t n_steps, int64_t delay, array row_of,
              array row_start, array row_end, int64_t first_target, array targets, array weights, array visits,
              array current)
{
    int64_t *visit = visits.data;
    const int32_t *rows = row_of.shape[0] ? row_of.data : NULL;
    const int64_t *row_begins = row_start.data, *row_ends = row_end.data;
    const target *t = targets.data;
    const weight *w = weights.data;
    for (int64_t b = 0; b < current.shape[0]; b++)
        for (int64_t step = 0; step < starts.shape[1] - 1; step++) {
            delivery d = deliver(ids, values, starts, first_step, n_steps, delay, current, b, step);
            if (d.current == NULL)
                break;
            d.current += first_target;
            for (int64_t e = d.begin; e < d.end; e++) {
                int64_t row = rows == NULL ? d.ids[e] : rows[d.ids[e]];
                if (row < 0)
                    continue;
                uint64_t j = row_begins[row], end = row_ends[row];
                visit[step] += end - j;
                if (d.values != NULL) {
                    for (; j < end; j++)
                        d.current[t[j]] += w[j] * d.values[e];
                    continue;
                }
                /* Rows lie apart in memory: while one is read, its lines ahead, then those of the next, are fetched. */
                uint64_t next_row = e + 1 < d.end && rows == NULL ? (uint64_t)row_begins[d.ids[e + 1]] : j;
                if (end - j < FETCHED_AHEAD)
                    for (int line = 0; line < 64; line += 16) {
                        __builtin_prefetch(t + next_row + line);
                        __builtin_prefetch(w + next_row + line);
                    }
                else
                    for (; j + 16 <= end; j += 16) {
                        uint64_t ahead = j + FETCHED_AHEAD;
                        if (ahead >= end)
                            ahead += next_row - end;
                        __builtin_prefetch(t + ahead);
                        __builtin_prefetch(w + ahead);
                        for (int k = 0; k < 16; k += 4)
                            add_four(d.current, t, w, j + k);
                    }
                add_row(d.current, t, w, j, end);
            }
        }
}

/* What push_convolution knows of a convolution; see there. */
typedef struct {
    const int64_t *place_of, *y_of, *x_of, *y_from, *x_from, *channel_start, *segments;
    const int32_t *y_tap, *y_to, *x_tap, *x_to, *out_channels;
    const uint32_t *case_of, *by_case;
    const weight *w;
    int64_t pixels, height, width, out_width, kernel_width, n_segments, n_cases;
} convolution;

/* Delivers the events of one step. pitch: from one channel of the target to the next. Returns the synapses visited. */
static int64_t push_events(const convolution *c, delivery d, const target *offset, int64_t pitch, number *current)
{
    const weight *w = c->w;
    int64_t channel = 0, first_id = 0, n_visits = 0;
    for (int64_t e = d.begin; e < d.end; e++) {
        for (; d.ids[e] >= first_id + c->pixels; first_id += c->pixels)
            channel++;
        int64_t pixel = d.ids[e] - first_id;
        if (c->place_of[pixel] >= 0) {
            number *here = current + c->place_of[pixel];
            uint64_t j = c->channel_start[channel], end = c->channel_start[channel + 1];
            n_visits += end - j;
            if (d.values != NULL)
                for (; j < end; j++)
                    here[offset[j]] += w[j] * d.values[e];
            else
                add_row(here, offset, w, j, end);
            continue;
        }
        int64_t y = c->y_of[pixel], x = c->x_of[pixel];
        if (y >= c->height || x >= c->width)
            continue;
        n_visits += c->by_case[channel * c->n_cases + c->case_of[pixel]];
        for (int64_t r = c->y_from[y]; r < c->y_from[y + 1]; r++)
            for (int64_t q = c->x_from[x]; q < c->x_from[x + 1]; q++) {
                const int64_t *k = c->segments + channel * c->n_segments + c->y_tap[r] * c->kernel_width + c->x_tap[q];
                number *here = current + c->y_to[r] * c->out_width + c->x_to[q];
                uint64_t j = k[0], end = k[1];
                if (d.values != NULL)
                    for (; j < end; j++)
                        here[c->out_channels[j] * pitch] += w[j] * d.values[e];
                else
                    add_channels(here, c->out_channels, pitch, w, j, end);
            }
    }
    return n_visits;
}

/* source: rows, columns, pool (y, x), width of the kernel. out: channels, height, width. inside: y from, to, x from, to. */
void push_convolution(array ids, array values, array starts, int64_t first_step, int64_t n_steps, int64_t delay,
                      array source, array out, array row_from, array row_tap, array row_to, array column_from,
                      array column_tap, array column_to, array inside, int64_t lowest, array row_start, array segment,
                      array out_channels, array case_of, array by_case, array offset, array weights, array visits,
                      array current)
{
    int64_t *visit = visits.data;
    const int64_t *s = source.data, *o = out.data, *in = inside.data;
    int64_t pixels = s[0] * s[1], plane = o[1] * o[2], pitch = plane + PAD, n = offset.shape[0];
    /* Of each pixel: where its taps begin, if all of them land inside the target; else its pooled row and column. */
    int64_t *place_of = malloc(3 * pixels * sizeof *place_of), *y_of = place_of + pixels, *x_of = y_of + pixels;
    int64_t last_y = least(in[1], row_from.shape[0] - 2), last_x = least(in[3], column_from.shape[0] - 2);
    for (int64_t i = 0; i < pixels; i++) {
        int64_t y = y_of[i] = i / s[1] / s[2], x = x_of[i] = i % s[1] / s[3];
        place_of[i] = in[0] <= y && y <= last_y && in[2] <= x && x <= last_x ? y * o[2] + x + lowest : -1;
    }
    convolution c = {
        place_of,        y_of,          x_of,         row_from.data,   column_from.data,  row_start.data,
        segment.data,    row_tap.data,  row_to.data,  column_tap.data, column_to.data,    out_channels.data,
        case_of.data,    by_case.data,  weights.data, pixels,          row_from.shape[0] - 1,
        column_from.shape[0] - 1,       o[2],         s[4],            segment.shape[1], by_case.shape[1],
    };
    /* Planes of a power of two would share few sets of the cache: events that visit many are summed where planes lie
     * a line further apart. */
    bool crowded = plane % 64 == 0;
    const target *places = offset.data;
    target *apart = malloc(n * sizeof *apart);
    number *sums = malloc(o[0] * pitch * sizeof *sums);
    for (int64_t j = 0; j < n; j++)
        apart[j] = places[j] + c.out_channels[j] * PAD;
    for (int64_t b = 0; b < current.shape[0]; b++)
        for (int64_t step = 0; step < starts.shape[1] - 1; step++) {
            delivery d = deliver(ids, values, starts, first_step, n_steps, delay, current, b, step);
            if (d.current == NULL)
                break;
            if (!crowded || (d.end - d.begin) * n <= current.shape[2] * segment.shape[0]) {
                visit[step] += push_events(&c, d, places, plane, d.current);
                continue;
            }
            for (int64_t i = 0; i < o[0]; i++)
                memcpy(sums + i * pitch, d.current + i * plane, plane * sizeof *sums);
            visit[step] += push_events(&c, d, apart, pitch, sums);
            for (int64_t i = 0; i < o[0]; i++)
                memcpy(d.current + i * plane, sums + i * pitch, plane * sizeof *sums);
        }
    free(place_of);
    free(apart);
    free(sums);
}

/* stride, padding, dilation, kernel: (y, x). No quotient is of a negative number but where nothing is reached. */
void multiply_convolution(array numbers, int64_t first_step, int64_t n_steps, int64_t delay, array source, array out,
                          array stride, array padding, array dilation, array kernel, array row_start, array segment,
                          array out_channels, array weights, array current)
{
    const int64_t *s = source.data, *o = out.data, *d = stride.data, *p = padding.data, *far = dilation.data;
    const int64_t *taps = kernel.data, *segments = segment.data;
    const int32_t *out_channel = out_channels.data;
    const weight *w = weights.data;
    int64_t n_block = numbers.shape[1], ring = current.shape[1];
    for (int64_t b = 0; b < numbers.shape[0]; b++)
        for (int64_t step = 0; step < n_block && first_step + step + delay < n_steps; step++) {
            number *sums = (number *)current.data + (b * ring + (first_step + step + delay) % ring) * current.shape[2];
            for (int64_t channel = 0; channel < row_start.shape[0] - 1; channel++) {
                const number *picture = (const number *)numbers.data + (b * n_block + step) * numbers.shape[2];
                picture += channel * s[0] * s[1];
                for (int64_t k = 0; k < taps[0] * taps[1]; k++) {
                    int64_t down = k / taps[1] * far[0] - p[0], right = k % taps[1] * far[1] - p[1];
                    int64_t low = most(0, (d[1] - 1 - right) / d[1]), high = least(o[2], (s[1] - 1 - right) / d[1] + 1);
                    const int64_t *j_from = segments + channel * segment.shape[1] + k;
                    for (int64_t j = j_from[0]; j < j_from[1]; j++)
                        for (int64_t oy = 0; oy < o[1]; oy++) {
                            int64_t y = oy * d[0] + down;
                            if (y < 0 || y >= s[0])
                                continue;
                            number *restrict into = sums + out_channel[j] * o[1] * o[2] + oy * o[2] + low;
                            const number *restrict row = picture + y * s[1] + low * d[1] + right;
                            number factor = w[j];
                            if (d[1] == 1)
                                for (int64_t x = 0; x < high - low; x++)
                                    into[x] += factor * row[x];
                            else
                                for (int64_t x = 0; x < high - low; x++)
                                    into[x] += factor * row[x * d[1]];
                        }
                }
            }
        }
}

enum { LANES = 16, ABREAST = 4 }; /* as in neurons.py */

#ifdef __AVX512DQ__
/* Writes the ids of the neurons that fired from k on; to compress into memory itself is slow on some CPUs. */
static inline int64_t list_fired(int32_t *ids, int64_t k, int64_t first, __mmask16 fired)
{
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i numbered = _mm512_add_epi32(_mm512_set1_epi32((int32_t)first), lanes);
    __m512i packed = _mm512_maskz_compress_epi32(fired, numbered);
    int n_fired = __builtin_popcount(fired);
    _mm256_storeu_si256((__m256i *)(ids + k), _mm512_castsi512_si256(packed));
    if (__builtin_expect(n_fired > LANES / 2, 0))
        _mm512_storeu_si512(ids + k, packed);
    return k + n_fired;
}
#endif

/* Of neurons of any kind. */
typedef struct {
    bool has_current, late, voltage_first, reset_delay;
} options;

/* What the neurons of one sample are advanced with, over a block of steps. current: (ring, n_neurons). */
typedef struct {
    void *current, *v;
    const void *bias;
    int64_t ring, n_neurons, slot, n_block;
    int32_t *ids;
    int64_t *ends; /* of what each step has listed so far */
    number nowhere[ABREAST * LANES];
} block;

static inline number *current_of(const block *w, int64_t step)
{
    int64_t slot = w->slot + step;
    return (number *)w->current + (slot >= w->ring ? slot - w->ring : slot) * w->n_neurons;
}

static void empty_currents(const block *w, int64_t begin, int64_t end)
{
    for (int64_t step = 0; step < w->n_block; step++)
        memset(current_of(w, step) + begin, 0, (end - begin) * sizeof(number));
}

#ifdef __AVX512DQ__
/* Empties the currents of the neurons that were advanced before those at `now`, if there are any: where the steps'
 * currents lie at one place in their pages, a load of these would wait for a store that is not its own. */
static inline __attribute__((always_inline)) void empty_before(block *w, number *now, const int abreast, bool is_first)
{
    number *before = is_first ? w->nowhere : now - abreast * LANES;
#pragma GCC unroll 4
    for (int n = 0; n < abreast; n++)
        _mm512_storeu_si512(before + n * LANES, _mm512_setzero_si512());
}
#endif

/* Brings the ids of all steps together. */
static void close_ranks(const block *w, int64_t *starts)
{
    int64_t k = starts[0] = 0;
    for (int64_t step = 0; step < w->n_block; step++) {
        int64_t begin = step * w->n_neurons, n = w->ends[step] - begin;
        memmove(w->ids + k, w->ids + begin, n * sizeof *w->ids);
        starts[step + 1] = k += n;
    }
}

#ifdef __AVX512DQ__
/* `abreast` vectors of neurons from i on, which integrate and fire. Inlined, so that what is constant is known. */
static inline __attribute__((always_inline)) void advance_floats(block *w, int64_t i, bool is_first,
                                                                 const int abreast, const bool leaks, __m512 at,
                                                                 __m512 lost, __m512 leak, __m512 keep)
{
    float *state = (float *)w->v + i;
    __m512 v[ABREAST], bias[ABREAST];
#pragma GCC unroll 4
    for (int n = 0; n < abreast; n++) {
        v[n] = _mm512_loadu_ps(state + n * LANES);
        bias[n] = _mm512_loadu_ps((const float *)w->bias + i + n * LANES);
    }
    for (int64_t step = 0; step < w->n_block; step++) {
        float *now = (float *)current_of(w, step) + i;
        int64_t k = w->ends[step];
#pragma GCC unroll 4
        for (int n = 0; n < abreast; n++) {
            __m512 drive = _mm512_add_ps(_mm512_loadu_ps(now + n * LANES), bias[n]);
            __m512 x = _mm512_add_ps(leaks ? _mm512_mul_ps(leak, v[n]) : v[n], drive);
            __mmask16 fired = _mm512_cmp_ps_mask(x, at, _CMP_GE_OQ);
            v[n] = _mm512_mask_sub_ps(x, fired, _mm512_and_ps(keep, x), lost);
            k = list_fired(w->ids, k, i + n * LANES, fired);
        }
        w->ends[step] = k;
        empty_before(w, (number *)now, abreast, is_first);
    }
#pragma GCC unroll 4
    for (int n = 0; n < abreast; n++)
        _mm512_storeu_ps(state + n * LANES, v[n]);
}
#endif

/* Neurons begin ... end - 1, which integrate and fire. */
static void integrate_float(block *w, int64_t begin, int64_t end, float fire_at, float drop, float leak,
                            float keep)
{
    const float *bias = w->bias;
    float *v = w->v;
    int64_t i = begin;
#ifdef __AVX512DQ__
    __m512 at = _mm512_set1_ps(fire_at), lost = _mm512_set1_ps(drop), leaks = _mm512_set1_ps(leak);
    __m512 keeps = _mm512_castsi512_ps(_mm512_set1_epi32(keep == 0 ? 0 : -1));
    int64_t whole = end - (end - begin) % LANES, last = whole - (whole - begin) % (ABREAST * LANES);
    for (; i < last; i += ABREAST * LANES)
        if (leak == 1)
            advance_floats(w, i, i == begin, ABREAST, false, at, lost, leaks, keeps);
        else
            advance_floats(w, i, i == begin, ABREAST, true, at, lost, leaks, keeps);
    for (; i < whole; i += LANES)
        advance_floats(w, i, i == last, 1, true, at, lost, leaks, keeps);
    if (begin < last)
        empty_currents(w, last - ABREAST * LANES, last);
    if (last < whole)
        empty_currents(w, whole - LANES, whole);
#endif
    for (int64_t step = 0; step < w->n_block; step++) {
        float *now = (float *)current_of(w, step);
        for (int64_t j = i; j < end; j++) {
            float x = leak * v[j] + (now[j] + bias[j]);
            now[j] = 0;
            bool fired = x >= fire_at;
            v[j] = fired ? (keep == 0 ? 0 : x) - drop : x;
            if (fired)
                w->ids[w->ends[step]++] = (int32_t)j;
        }
    }
}

void update_float(array current, int64_t first_step, int64_t n_block, array membrane, array fire_at, array drop,
                  array leak, array biases, float keep, array ids, array starts)
{
    int64_t ring = current.shape[1], n_neurons = current.shape[2], size = n_neurons / fire_at.shape[0];
    const float *ats = fire_at.data, *drops = drop.data, *leaks = leak.data;
    int64_t *ends = malloc(n_block * sizeof *ends);
    for (int64_t b = 0; b < current.shape[0]; b++) {
        block w = {(number *)current.data + b * ring * n_neurons, (float *)membrane.data + b * n_neurons, biases.data,
                   ring, n_neurons, first_step % ring, n_block, (int32_t *)ids.data + b * ids.shape[1], ends, {0}};
        for (int64_t step = 0; step < n_block; step++)
            ends[step] = step * n_neurons;
        for (int64_t g = 0; g < fire_at.shape[0]; g++)
            integrate_float(&w, g * size, (g + 1) * size, ats[g], drops[g], leaks[g], keep);
        close_ranks(&w, (int64_t *)starts.data + b * starts.shape[1]);
    }
    free(ends);
}

static const int64_t TOP = (1 << 23) - 1, MASK = (1 << 24) - 1;

/* Part of a 24-bit state that is left, in 1/4096, truncated toward zero. */
static int64_t decayed(int64_t x, int64_t part) { return x >= 0 ? x * part >> 12 : -(-x * part >> 12); }

#ifdef __AVX512DQ__
/* As advance_floats in Loihi's arithmetic. */
static inline __attribute__((always_inline)) void advance_integers(block *w, int64_t i, bool is_first,
                                                                   const int abreast, const bool leaks, __m512i at,
                                                                   __m512i lost, __m512i leak, __m512i keep)
{
    int32_t *state = (int32_t *)w->v + i;
    enum { TOWARD_ZERO = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC };
    __m512i top = _mm512_set1_epi32(TOP), lowest = _mm512_set1_epi32(-TOP), zero = _mm512_setzero_si512();
    __m512 part = _mm512_mul_ps(_mm512_cvtepi32_ps(leak), _mm512_set1_ps(1.0f / 4096));
    __m512i v[ABREAST], bias[ABREAST];
#pragma GCC unroll 4
    for (int n = 0; n < abreast; n++) {
        v[n] = _mm512_loadu_si512(state + n * LANES);
        bias[n] = _mm512_loadu_si512((const int32_t *)w->bias + i + n * LANES);
    }
    for (int64_t step = 0; step < w->n_block; step++) {
        int32_t *now = (int32_t *)current_of(w, step) + i;
        int64_t k = w->ends[step];
#pragma GCC unroll 4
        for (int n = 0; n < abreast; n++) {
            __m512i current = _mm512_loadu_si512(now + n * LANES), x = v[n];
            __m512i negated = _mm512_sub_epi32(zero, bias[n]);
            /* -x wraps into [-2^23, 2^23) where two shifts do */
            __m512i less = _mm512_srai_epi32(_mm512_slli_epi32(_mm512_sub_epi32(negated, current), 14), 8);
            if (leaks) /* rounded toward zero as floats of 24 bits, and once more as whole numbers */
                x = _mm512_cvttps_epi32(_mm512_mul_round_ps(_mm512_cvtepi32_ps(x), part, TOWARD_ZERO));
            x = _mm512_sub_epi32(x, less);
            x = _mm512_max_epi32(_mm512_min_epi32(x, top), lowest);
            __mmask16 fired = _mm512_cmpge_epi32_mask(x, at);
            v[n] = _mm512_mask_sub_epi32(x, fired, _mm512_and_si512(x, keep), lost);
            k = list_fired(w->ids, k, i + n * LANES, fired);
        }
        w->ends[step] = k;
        empty_before(w, (number *)now, abreast, is_first);
    }
#pragma GCC unroll 4
    for (int n = 0; n < abreast; n++)
        _mm512_storeu_si512(state + n * LANES, v[n]);
}
#endif

/* As integrate_float in Loihi's arithmetic. */
static void integrate_integer(block *w, int64_t begin, int64_t end, int32_t fire_at, int32_t drop, int32_t leak,
                              int32_t keep)
{
    const int32_t *bias = w->bias;
    int32_t *v = w->v;
    int64_t i = begin;
#ifdef __AVX512DQ__
    __m512i at = _mm512_set1_epi32(fire_at), lost = _mm512_set1_epi32(drop), leaks = _mm512_set1_epi32(leak);
    __m512i keeps = _mm512_set1_epi32(-keep);
    int64_t whole = end - (end - begin) % LANES, last = whole - (whole - begin) % (ABREAST * LANES);
    for (; i < last; i += ABREAST * LANES)
        if (leak == 4096)
            advance_integers(w, i, i == begin, ABREAST, false, at, lost, leaks, keeps);
        else
            advance_integers(w, i, i == begin, ABREAST, true, at, lost, leaks, keeps);
    for (; i < whole; i += LANES)
        advance_integers(w, i, i == last, 1, true, at, lost, leaks, keeps);
    if (begin < last)
        empty_currents(w, last - ABREAST * LANES, last);
    if (last < whole)
        empty_currents(w, whole - LANES, whole);
#endif
    for (int64_t step = 0; step < w->n_block; step++) {
        int32_t *now = (int32_t *)current_of(w, step);
        for (int64_t j = i; j < end; j++) {
            int64_t scaled = ((int64_t)now[j] + bias[j]) << 6;
            int64_t x = decayed(v[j], leak) + ((scaled + TOP) & MASK) - TOP;
            now[j] = 0;
            x = most(least(x, TOP), -TOP);
            bool fired = x >= fire_at;
            v[j] = (int32_t)(fired ? keep * x - drop : x);
            if (fired)
                w->ids[w->ends[step]++] = (int32_t)j;
        }
    }
}

void update_integer(array current, int64_t first_step, int64_t n_block, array membrane, array fire_at, array drop,
                  array leak, array biases, int64_t keep, array ids, array starts)
{
    int64_t ring = current.shape[1], n_neurons = current.shape[2], size = n_neurons / fire_at.shape[0];
    const int32_t *ats = fire_at.data, *drops = drop.data, *leaks = leak.data;
    int64_t *ends = malloc(n_block * sizeof *ends);
    for (int64_t b = 0; b < current.shape[0]; b++) {
        block w = {(number *)current.data + b * ring * n_neurons, (int32_t *)membrane.data + b * n_neurons, biases.data,
                   ring, n_neurons, first_step % ring, n_block, (int32_t *)ids.data + b * ids.shape[1], ends, {0}};
        for (int64_t step = 0; step < n_block; step++)
            ends[step] = step * n_neurons;
        for (int64_t g = 0; g < fire_at.shape[0]; g++)
            integrate_integer(&w, g * size, (g + 1) * size, ats[g], drops[g], leaks[g], keep);
        close_ranks(&w, (int64_t *)starts.data + b * starts.shape[1]);
    }
    free(ends);
}

/* Neurons of any kind; no branch on what fires, so that the compiler makes vectors of it. */
__attribute__((noinline)) /* within its caller gcc 12 makes no vectors of it */
static void advance_float(const float *restrict now, const float *restrict bias, float *restrict v, float *restrict u,
                          uint8_t *restrict flags, int64_t n, options o, float fire_at, float drop, float leak,
                          float decay, float keep)
{
    for (int64_t i = 0; i < n; i++) { /* + 0: what is reset to zero is no -0 */
        float drive = now[i];
        if (!o.late)
            drive += bias[i];
        if (o.has_current) {
            float old = u[i], new = decay * old + drive;
            u[i] = new;
            drive = o.voltage_first ? old : new;
        }
        float before = v[i], x = leak * before + drive;
        if (o.late)
            x += bias[i];
        if (o.reset_delay)
            x = before >= fire_at ? keep * x - drop + 0.0f : x;
        int fired = x >= fire_at; /* gcc makes no vectors of a bool among floats */
        if (!o.reset_delay)
            x = fired ? keep * x - drop + 0.0f : x;
        flags[i] = fired;
        v[i] = x;
    }
}

__attribute__((noinline))
static void advance_integer(const int32_t *restrict now, const int32_t *restrict bias, int32_t *restrict v,
                            int32_t *restrict u, uint8_t *restrict flags, int64_t n, options o, int64_t fire_at,
                            int64_t drop, int64_t leak, int64_t decay, int64_t keep)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t scaled = (int64_t)now[i] << 6, shift = (int64_t)bias[i] << 6, old = 0;
        if (!o.late)
            scaled += shift;
        if (o.has_current) {
            old = u[i];
            scaled += decayed(old, decay);
        }
        int64_t new = ((scaled + TOP) & MASK) - TOP, before = v[i];
        if (o.has_current)
            u[i] = (int32_t)new;
        int64_t x = decayed(before, leak) + (o.voltage_first ? old : new);
        if (o.late)
            x += shift;
        x = most(least(x, TOP), -TOP);
        if (o.reset_delay)
            x = before >= fire_at ? keep * x - drop : x;
        bool fired = x >= fire_at;
        if (!o.reset_delay)
            x = fired ? keep * x - drop : x;
        flags[i] = fired;
        v[i] = (int32_t)x;
    }
}

/* The one for this library's numbers. */
#define advance_number(...) _Generic((number)0, float: advance_float, default: advance_integer)(__VA_ARGS__)

/* Neurons of any kind, as many together as have currents of eight steps in the smallest cache. */
void advance(array current, int64_t first_step, int64_t n_steps, array membrane, array synaptic, array fire_at,
             array drop, array leak, array decay, array biases, number keep, int64_t late, int64_t has_current,
             int64_t voltage_first, int64_t reset_delay, array fired, array shown)
{
    int64_t ring = current.shape[1], n_neurons = current.shape[2], size = n_neurons / fire_at.shape[0];
    const number *ats = fire_at.data, *drops = drop.data, *leaks = leak.data, *decays = decay.data;
    options o = {has_current, late, voltage_first, reset_delay};
    for (int64_t b = 0; b < current.shape[0]; b++)
        for (int64_t g = 0, end; g < n_neurons; g = end) {
            end = least(g + STRIP, (g / size + 1) * size);
            uint8_t *flags = (uint8_t *)fired.data + b * n_neurons + g, now_fired[STRIP];
            memset(flags, 0, end - g);
            for (int64_t step = 0; step < n_steps; step++) {
                number *now = (number *)current.data + (b * ring + (first_step + step) % ring) * n_neurons + g;
                number *v = (number *)membrane.data + b * n_neurons + g;
                number *u = has_current ? (number *)synaptic.data + b * n_neurons + g : NULL;
                int64_t of = g / size;
                advance_number(now, (const number *)biases.data + g, v, u, now_fired, end - g, o, ats[of], drops[of],
                               leaks[of], decays[of], keep);
                for (int64_t i = 0; i < end - g; i++)
                    flags[i] |= now_fired[i] << step;
                if (shown.shape[1])
                    memcpy((number *)shown.data + (b * n_steps + step) * n_neurons + g, v, (end - g) * sizeof *v);
                memset(now, 0, (end - g) * sizeof *now);
            }
        }
}
