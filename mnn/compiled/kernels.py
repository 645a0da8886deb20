"""Compiled kernels of the CPU path: a whole network, forward or backward, on one tile of samples after another.

State. The state of a tile is a matrix: a row for every channel of every box of every buffer, box after box, and
``width`` samples along a row, a multiple of one 64-byte block of samples. Numbers that a vector instruction handles
together are neighbours in memory for any number of channels, and regrouping boxes and channels, ReshapeT and ReshapeM
of the paper, moves nothing.

Layer. Whatever its dimension, padding or kind, a layer is a sparse matrix of small blocks. A ``SWEEP`` multiplies by
it, ``out[box] = sum W[weight] in[source]`` over the entries (source, weight) of a box; its transpose is a sweep too.
The gradients of weights are sums of outer products over lists of pairs (box, source), the ``SUMS``.

Filter. A kernel layer in two dimensions is run by fewer products than it has taps, of sums of boxes with sums of taps:
see `mnn.compiled.filtering`. Its transpose is the same filter with the taps in reverse.

The innermost loops are written in LLVM's own language: `_gather` and `_outer`, since the vectoriser does not find a
layout in which all sums stay in registers, `_form` and `_complete`, since a filter's coefficients are known beforehand.
Everything compiled stands in this one file because numba's cache on
disk notices changes in the file of a cached function only.
"""

from contextlib import contextmanager
from functools import partial, reduce

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

BLOCK_BYTES = 64
"""Bytes of a block of samples: 16 in float32, 8 in float64. Two AVX2 registers, one of AVX-512, four of SSE or NEON."""

ROWS = 6
"""Output channels summed at a time: 6 x 2 registers of sums, 2 of inputs and 1 weight fill AVX2's 16."""

COLUMNS = 2
"""Input channels at a time in sums of outer products: ROWS x COLUMNS registers of half a block each."""

LAYER, ADD = 0, 1
RELU, ACCUMULATE, MASK = 1, 2, 4


def _record(names):
    return np.dtype([(name, np.int64) for name in names.split()])


SWEEP = _record("boxes starts entries shifts inputs outputs to_out to_in")
"""Boxes to compute; where in the table their entries start, the entries (source, weight) and the shifts into the bias
stand; channels; strides of a weight from one output and one input channel to the next."""

SUMS = _record("segments count entries")
"""Where in the table the segments (weight, first entry, entries) and their entries (box, source) stand."""

CELL = 2
"""Boxes of a filter's cell along an axis."""

THREE_TAPS, TWO_PHASES = 0, 1
FORMS = (
    (np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]), np.array([[1, 1, 1, 0], [0, 1, -1, -1]])),
    (np.array([[1, -1, 0], [0, -1, 1], [0, 1, 0]]), np.array([[1, 0, 1], [0, 1, 1]])),
)
"""Filters along one axis: what products take of the boxes they reach, and what the boxes of a cell take of products."""

LONGEST = 4
"""Products of a form along an axis, and boxes they reach, at most."""

FILTER = _record(
    "form matrices chunks positions groups cells sources boxes products product_entries taps tap_entries "
    "reverse reverse_entries parts sums"
)
"""How a layer is run by sums and products; ``matrices`` are 0 where it is not. Sums are formed at ``chunks`` times
``positions``, and after each chunk ``groups`` times ``cells`` are computed. Then where in the table the boxes of the
positions and of the cells stand, and the starts and entries of lists: (sum, matrix) of a product, and (tap, quarters of
its coefficient) of a matrix, forwards and in reverse. For gradients of weights, the ``parts`` in which positions and
cells are gone through, and the first of the `SUMS`, one a product."""

STEP = _record("kind layer x other y flags grad_x grad_other grad_y flags_x flags_other size from_input")
"""A step of the program: its kind; a LAYER's number; rows at which the operands and the result start, and at which
their gradients do; what is done to a result or a gradient before it is stored (RELU, ACCUMULATE, MASK); rows of the
result; whether x is the network's input. A LAYER that does ACCUMULATE adds the other operand to its result."""

_INT, _INT32 = ir.IntType(64), ir.IntType(32)

_inlined = njit(nogil=True, inline="always")
"""For what has one caller, or two: every level of calls takes a pass of the optimiser over all that is below it."""


class _Emitter:
    """Writes the instructions that both kernels use, for one type of numbers."""

    def __init__(self, context, builder, array):
        self.builder = builder
        self.number = context.get_data_type(array.dtype)
        self.bytes = context.get_abi_sizeof(self.number)
        self.lanes = BLOCK_BYTES // self.bytes
        self.block = ir.VectorType(self.number, self.lanes)
        self.half = ir.VectorType(self.number, self.lanes // 2)

    def pointer(self, address, kind=None):
        return self.builder.inttoptr(address, (kind or self.number).as_pointer())

    def load(self, pointer, kind):
        return self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()), align=self.bytes)

    def store(self, value, pointer):
        self.builder.store(value, self.builder.bitcast(pointer, value.type.as_pointer()), align=self.bytes)

    def at(self, pointer, *factors):
        """Move a pointer by a product of numbers, constant ones among them."""
        offset = _INT(1)
        for factor in factors:
            offset = self.builder.mul(offset, _INT(factor) if isinstance(factor, int) else factor)
        return self.builder.gep(pointer, [offset])

    def spread(self, number, kind=None):
        """Copy a number into all lanes of a block or another vector."""
        kind = kind or self.block
        empty = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(empty, number, _INT32(0))
        return self.builder.shuffle_vector(first, empty, _mask([0] * kind.count))

    def combine(self, row, values):
        """Add and subtract values by a row of coefficients 0, 1 and -1."""
        added, taken = ([v for c, v in zip(row, values, strict=True) if c == sign] for sign in (1, -1))
        if not added:
            return self.builder.fneg(reduce(self.builder.fadd, taken))
        return reduce(self.builder.fsub, taken, reduce(self.builder.fadd, added))

    def kron(self, rows, columns, values):
        """Multiply a matrix of values, a dict by (row, column), by one matrix along each axis."""
        wide, high = range(columns.shape[1]), range(rows.shape[1])
        half = {
            (p, k): self.combine(row, [values.get((i, k)) for i in high]) for p, row in enumerate(rows) for k in wide
        }
        return {
            (p, q): self.combine(column, [half[p, k] for k in wide])
            for p in range(len(rows))
            for q, column in enumerate(columns)
        }

    def sums(self, rows, bias):
        """Begin a sum for each of some channels with its bias."""
        slots = [cgutils.alloca_once(self.builder, self.block) for _ in range(rows)]
        for o, slot in enumerate(slots):
            self.builder.store(self.spread(self.builder.load(self.at(self.pointer(bias[0]), bias[1], o))), slot)
        return slots

    def multiply_add(self, x, y, slot):
        product = self.builder.fmul(x, y, flags=("contract",))
        self.builder.store(self.builder.fadd(self.builder.load(slot), product, flags=("contract",)), slot)

    def total(self, vector):
        """Add up the lanes of a vector, halves first."""
        empty = ir.Constant(vector.type, ir.Undefined)
        half = vector.type.count // 2
        if half == 1:
            return self.builder.fadd(*(self.builder.extract_element(vector, _INT32(i)) for i in range(2)))
        parts = (self.builder.shuffle_vector(vector, empty, _mask(range(start, start + half))) for start in (0, half))
        return self.total(self.builder.fadd(*parts))

    def transpose(self, vectors):
        """Turn n vectors of n numbers round, exchanging blocks of half the size, then a quarter, ..., then 1."""
        n = len(vectors)
        distance = n // 2
        while distance:
            keep = [lane if not lane & distance else n + lane - distance for lane in range(n)]
            take = [lane + distance if not lane & distance else n + lane for lane in range(n)]
            for i in (i for i in range(n) if not i & distance):
                pair = vectors[i], vectors[i + distance]
                vectors[i], vectors[i + distance] = (self.builder.shuffle_vector(*pair, _mask(m)) for m in (keep, take))
            distance //= 2
        return vectors

    @contextmanager
    def loop(self, count):
        """Write the body of a loop; yields the running index."""
        with cgutils.for_range(self.builder, count, intp=_INT) as loop:
            yield loop.index

    @contextmanager
    def pairs(self, entries):
        """Write the body of a loop over pairs of numbers in a table; yields the two."""
        address, count = entries
        with self.loop(count) as index:
            pair = self.at(self.pointer(address, _INT32), index, 2)
            yield [self.builder.sext(self.builder.load(self.at(pair, i)), _INT) for i in range(2)]

    def cases(self, key, variants):
        """Branch to one of several variants of the code, a dict of key -> function that writes it."""
        end = self.builder.append_basic_block("end")
        switch = self.builder.switch(key, end)
        for value, write in variants.items():
            label = self.builder.append_basic_block(f"case{value}")
            switch.add_case(_INT(value), label)
            self.builder.position_at_end(label)
            write()
            self.builder.branch(end)
        self.builder.position_at_end(end)


def _mask(lanes):
    return ir.Constant(ir.VectorType(_INT32, len(lanes)), list(lanes))


@intrinsic
def _gather(typing, array, rows, entries, x, weight, bias, y):
    """Compute ``rows`` outputs of one box for one block of samples, all sums in registers.

    Arguments are addresses and numbers: entries (address, count), x (address, channels, width), weight (address,
    to_out, to_in), bias (address, stride), y (address, width, other, reference, flags). ``other``, of the same rows as
    y, is added to it (ACCUMULATE), and ``reference`` masks it where not positive (MASK). Type and size of numbers are
    those of ``array``.
    """

    def generate(context, builder, signature, values):
        groups = [cgutils.unpack_tuple(builder, value) for value in values[2:]]
        emitter = _Emitter(context, builder, signature.args[0])
        emitter.cases(values[1], {n: partial(_write_gather, emitter, n, *groups) for n in range(1, ROWS + 1)})
        return context.get_dummy_value()

    return types.void(array, rows, entries, x, weight, bias, y), generate


def _write_gather(e, rows, entries, x, weight, bias, y):
    builder = e.builder
    sums = e.sums(rows, bias)
    with e.pairs(entries) as (source, start):
        first = e.at(e.pointer(x[0]), source, x[1], x[2])
        matrix = e.at(e.pointer(weight[0]), start)
        with e.loop(x[1]) as channel:
            value = e.load(e.at(first, channel, x[2]), e.block)
            column = e.at(matrix, channel, weight[2])
            for o, slot in enumerate(sums):
                e.multiply_add(value, e.spread(builder.load(e.at(column, weight[1], o))), slot)
    address, width, other, reference, flags = y
    places = ([e.at(e.pointer(first), width, o) for o in range(rows)] for first in (address, other, reference))
    _write_result(e, sums, *places, flags)


@intrinsic
def _form(typing, array, variant, boxes, width, channels, target):
    """Form the sums of boxes at one position that share a row of a form's matrix, for one block of samples.

    Arguments are numbers and addresses: variant (see `_variants`), boxes (of a list of their addresses), width and
    channels, target (address, stride from one sum to the next).
    """

    def generate(context, builder, signature, values):
        emitter, target = _Emitter(context, builder, signature.args[0]), cgutils.unpack_tuple(builder, values[5])
        writers = {n: partial(_write_form, emitter, *pair, *values[2:5], target) for n, pair in _variants().items()}
        emitter.cases(values[1], writers)
        return context.get_dummy_value()

    return types.void(array, variant, boxes, width, channels, target), generate


def _variants():
    """One row of a form's matrix and the whole of it, of boxes before a layer or (turned) of gradients after it."""
    return {
        (2 * form + turned) * LONGEST + row: (matrix[row : row + 1], matrix)
        for form, (before, after) in enumerate(FORMS)
        for turned, matrix in enumerate((before, after.T))
        for row in range(len(matrix))
    }


def _write_form(e, row, matrix, boxes, width, channels, target):
    grid = [(i, k) for i in range(matrix.shape[1]) for k in range(matrix.shape[1])]
    table = e.pointer(boxes, _INT)
    starts = {place: e.pointer(e.builder.load(e.at(table, n))) for n, place in enumerate(grid) if row[0, place[0]]}
    with e.loop(channels) as channel:
        for part in range(0, e.lanes, e.half.count):
            values = {place: e.load(e.at(e.at(start, channel, width), part), e.half) for place, start in starts.items()}
            for (_, product), value in e.kron(row, matrix, values).items():
                e.store(value, e.at(e.at(e.at(e.pointer(target[0]), target[1], product), channel, e.lanes), part))


@intrinsic
def _complete(typing, array, form, products, channels, bias, boxes, y):
    """Compute the boxes of a cell from its products, for one block of samples.

    Arguments are numbers and addresses: products (address, stride from one to the next), bias (address, stride), boxes
    (of a list of their addresses), y (width, bytes from a box to its other term and to its reference, flags).
    """

    def generate(context, builder, signature, values):
        products, bias, y = (cgutils.unpack_tuple(builder, values[i]) for i in (2, 4, 6))
        emitter = _Emitter(context, builder, signature.args[0])
        arguments = products, values[3], bias, values[5], y
        writers = {n: partial(_write_complete, emitter, output, *arguments) for n, (_, output) in enumerate(FORMS)}
        emitter.cases(values[1], writers)
        return context.get_dummy_value()

    return types.void(array, form, products, channels, bias, boxes, y), generate


def _write_complete(e, output, products, channels, bias, boxes, y):
    builder, (width, *distances, flags) = e.builder, y
    grid = [(i, k) for i in range(output.shape[1]) for k in range(output.shape[1])]
    table = e.pointer(boxes, _INT)
    starts = [builder.load(e.at(table, n)) for n in range(CELL**2)]
    starts = [[e.pointer(builder.add(start, far)) for start in starts] for far in (_INT(0), *distances)]
    slots = [cgutils.alloca_once(builder, e.half) for _ in range(CELL**2)]
    with e.loop(channels) as channel:
        source = e.at(e.pointer(products[0]), channel, e.lanes)
        shift = e.spread(builder.load(e.at(e.pointer(bias[0]), channel, bias[1])), e.half)
        for part in range(0, e.lanes, e.half.count):
            values = {place: e.load(e.at(e.at(source, products[1], n), part), e.half) for n, place in enumerate(grid)}
            for slot, value in zip(slots, e.kron(output, output, values).values(), strict=True):
                builder.store(builder.fadd(value, shift), slot)
            places = [[e.at(e.at(start, channel, width), part) for start in each] for each in starts]
            _write_result(e, slots, *places, flags)


def _write_result(e, sums, rows, others, marks, flags):
    """Store sums after what the flags ask for. NaN passes a RELU and a MASK, as it does in torch."""
    builder, kind = e.builder, sums[0].type.pointee
    zero = ir.Constant(kind, None)

    def asked(flag):
        return builder.if_then(builder.icmp_unsigned("!=", builder.and_(flags, _INT(flag)), _INT(0)))

    def keep_positive(slot, mark):
        builder.store(builder.select(builder.fcmp_ordered("<=", mark, zero), zero, builder.load(slot)), slot)

    with asked(ACCUMULATE):
        for slot, row in zip(sums, others, strict=True):
            builder.store(builder.fadd(builder.load(slot), e.load(row, kind)), slot)
    with asked(RELU):
        for slot in sums:
            keep_positive(slot, builder.load(slot))
    with asked(MASK):
        for slot, mark in zip(sums, marks, strict=True):
            keep_positive(slot, e.load(mark, kind))
    for slot, row in zip(sums, rows, strict=True):
        e.store(builder.load(slot), row)


@intrinsic
def _outer(typing, array, rows, columns, entries, g, x, blocks, target):
    """Add to ``rows`` x ``columns`` numbers the sums over pairs and samples of g times x.

    Arguments are addresses and numbers: entries (address, count), g and x (address, strides of box, row and block),
    target (address, to_out, to_in). Type and size of numbers are those of ``array``.
    """

    def generate(context, builder, signature, values):
        entries, g, x, target = (cgutils.unpack_tuple(builder, values[i]) for i in (3, 4, 5, 7))
        emitter = _Emitter(context, builder, signature.args[0])
        variants = {
            m * (COLUMNS + 1) + n: partial(_write_outer, emitter, (m, n), entries, g, x, values[6], target)
            for m in range(1, ROWS + 1)
            for n in range(1, COLUMNS + 1)
        }
        emitter.cases(builder.add(builder.mul(values[1], _INT(COLUMNS + 1)), values[2]), variants)
        return context.get_dummy_value()

    return types.void(array, rows, columns, entries, g, x, blocks, target), generate


def _write_outer(e, shape, entries, g, x, blocks, target):
    builder, (rows, columns) = e.builder, shape
    # few sums take whole blocks, so that as many multiplications are under way as the pipeline holds
    kind = e.block if 2 * rows * columns <= ROWS * COLUMNS else e.half
    sums = [[cgutils.alloca_once(builder, kind) for _ in range(columns)] for _ in range(rows)]
    for slot in (slot for row in sums for slot in row):
        builder.store(ir.Constant(kind, None), slot)
    with e.pairs(entries) as (box, source), e.loop(blocks) as block:
        left = e.at(e.at(e.pointer(g[0]), box, g[1]), block, g[3])
        right = e.at(e.at(e.pointer(x[0]), source, x[1]), block, x[3])
        for part in range(0, e.lanes, kind.count):
            values = [e.load(e.at(e.at(right, x[2], c), part), kind) for c in range(columns)]
            for o, row in enumerate(sums):
                value = e.load(e.at(e.at(left, g[2], o), part), kind)
                for c, slot in enumerate(row):
                    e.multiply_add(value, values[c], slot)
    for o, row in enumerate(sums):
        for c, slot in enumerate(row):
            place = e.at(e.at(e.pointer(target[0]), target[1], o), target[2], c)
            builder.store(builder.fadd(builder.load(place), e.total(builder.load(slot))), place)


@njit(nogil=True)
def _parts(total, largest):
    """Number of nearly equal parts to cut a number of channels into."""
    return (total + largest - 1) // largest


@njit(nogil=True)
def _list(table, starts, entries, row):
    """Address and length of a row's list in the table."""
    first = table[starts + row]
    return table.ctypes.data + 4 * (entries + 2 * first), np.int64(table[starts + row + 1] - first)


@_inlined
def _sweep(arena, table, sweep, width, weights, operands):
    """Multiply the state by a sparse block matrix.

    weights: addresses of weight and bias and the bias's stride, 0 for none; operands: addresses of x, y and what has
    the rows of y, the other term and the reference, and flags.
    """
    size, (weight, bias, bias_stride) = arena.itemsize, weights
    x, y, other, reference, flags = operands
    parts = _parts(sweep.outputs, ROWS)
    for box in range(sweep.boxes):
        entries = _list(table, sweep.starts, sweep.entries, box)
        shifted = bias + size * bias_stride * table[sweep.shifts + box]
        for block in range(0, size * width, BLOCK_BYTES):
            done = 0
            for part in range(parts, 0, -1):
                rows = _parts(sweep.outputs - done, part)
                row = size * width * (box * sweep.outputs + done) + block
                _gather(
                    arena,
                    rows,
                    entries,
                    (x + block, sweep.inputs, width),
                    (weight + size * done * sweep.to_out, sweep.to_out, sweep.to_in),
                    (shifted + size * bias_stride * done, bias_stride),
                    (y + row, width, other + row, reference + row, flags),
                )
                done += rows


@intrinsic
def _add_multiple(typing, array, quarters, source, count, target):
    """Add quarters of some numbers to others. Arguments are numbers and addresses."""

    def generate(context, builder, signature, values):
        e = _Emitter(context, builder, signature.args[0])
        factor = builder.fmul(builder.sitofp(values[1], e.number), e.number(0.25))
        with e.loop(values[3]) as i:
            place = e.at(e.pointer(values[4]), i)
            product = builder.fmul(builder.load(e.at(e.pointer(values[2]), i)), factor)
            builder.store(builder.fadd(builder.load(place), product), place)
        return context.get_dummy_value()

    return types.void(array, quarters, source, count, target), generate


@njit(nogil=True)
def _along(form):
    """Products of a form along an axis, and boxes that they reach."""
    return (4, 4) if form == THREE_TAPS else (3, 3)


@njit(nogil=True)
def _prepare(room, channels, width, numbers):
    """Write zeros into a box, and into room for matrices after it; return where both and what is left start."""
    zeros = room.ctypes.data
    matrices = zeros + _whole_blocks(room.itemsize * channels * width)
    rest = matrices + _whole_blocks(room.itemsize * numbers)
    room[: (rest - zeros) // room.itemsize] = 0
    return zeros, matrices, rest


@njit(nogil=True)
def _whole_blocks(count):
    """Bytes of the blocks that hold a number of bytes."""
    return (count + BLOCK_BYTES - 1) // BLOCK_BYTES * BLOCK_BYTES


@njit(nogil=True)
def _addresses(table, first, count, start, step, zeros, places):
    """List the addresses of boxes, ``step`` bytes each; one numbered -1 is the box of zeros."""
    for i in range(count):
        box = np.int64(table[first + i])
        places[i] = start + step * box if box >= 0 else zeros


@njit(nogil=True)
def _form_all(arena, table, listed, variant, source, zeros, target, places):
    """Form sums at all positions of a list.

    listed: where in the table it starts, positions, boxes of each; variant: form, turned, row; source: address,
    channels, width; target: address; places: room for addresses.
    """
    size, (first, positions, length), (x, channels, width) = arena.itemsize, listed, source
    number = np.int64((2 * variant[0] + variant[1]) * LONGEST + variant[2])
    stride = positions * channels * (BLOCK_BYTES // size)
    for position in range(positions):
        _addresses(table, first + position * length, length, x, size * width * channels, zeros, places)
        place = target + BLOCK_BYTES * position * channels
        _form(arena, number, places.ctypes.data, width, channels, (place, stride))


@_inlined
def _filter(arena, table, sweep, filtered, back, width, weights, operands, room):
    """Do what `_sweep` does by a filter; ``back`` says that it is the layer's transpose.

    The room is for a box of zeros, the matrices, the sums of a chunk and the products of a group.
    """
    size, (weight, bias, bias_stride) = arena.itemsize, weights
    x, y, other, reference, flags = operands
    form, cells, matrix = filtered.form, filtered.cells, sweep.outputs * sweep.inputs
    along, reach = _along(form)
    zeros, matrices, sums = _prepare(room, sweep.inputs, width, filtered.matrices * matrix)
    products = sums + BLOCK_BYTES * along**2 * filtered.positions * sweep.inputs
    lists = (filtered.reverse, filtered.reverse_entries) if back else (filtered.taps, filtered.tap_entries)
    _mix(arena, table, filtered.matrices, matrix, lists, weight, matrices)
    places = np.empty(LONGEST**2, np.int64)
    distances = width, other - y, reference - y, flags
    for block in range(0, size * width, BLOCK_BYTES):
        for chunk in range(filtered.chunks):
            listed = filtered.sources + chunk * filtered.positions * reach**2, filtered.positions, reach**2
            for row in range(along):
                target = sums + BLOCK_BYTES * row * along * filtered.positions * sweep.inputs
                source = x + block, sweep.inputs, width
                _form_all(arena, table, listed, (form, 0, row), source, zeros, target, places)
            for group in range(filtered.groups):
                _products(arena, table, sweep, filtered, group, (matrices, sums, products, zeros))
                first = filtered.boxes + (chunk * filtered.groups + group) * cells * CELL**2
                for cell in range(cells):
                    box = first + cell * CELL**2
                    _addresses(table, box, CELL**2, y + block, size * width * sweep.outputs, zeros, places)
                    made = products + BLOCK_BYTES * cell * sweep.outputs, cells * sweep.outputs * (BLOCK_BYTES // size)
                    shift = bias, bias_stride
                    _complete(arena, form, made, sweep.outputs, shift, places.ctypes.data, distances)


@njit(nogil=True)
def _products(arena, table, sweep, filtered, group, addresses):
    """Compute the products of a group of cells; addresses of matrices, sums, products and zeros."""
    size, (matrices, sums, products, zeros) = arena.itemsize, addresses
    lanes = BLOCK_BYTES // size
    along, _ = _along(filtered.form)
    parts, count = _parts(sweep.outputs, ROWS), along**2 * filtered.cells
    for place in range(count):
        entries = _list(table, filtered.products, filtered.product_entries, group * count + place)
        done = 0
        for part in range(parts, 0, -1):
            rows = _parts(sweep.outputs - done, part)
            y = products + BLOCK_BYTES * (place * sweep.outputs + done)
            weight = matrices + size * done * sweep.to_out, sweep.to_out, sweep.to_in
            x = sums, sweep.inputs, lanes
            _gather(arena, rows, entries, x, weight, (zeros, np.int64(0)), (y, lanes, y, y, 0))
            done += rows


@njit(nogil=True)
def _mix(arena, table, count, matrix, lists, weight, matrices):
    """Add taps, times their coefficients, to matrices."""
    size = arena.itemsize
    for m in range(count):
        for i in range(table[lists[0] + m], table[lists[0] + m + 1]):
            tap, quarters = np.int64(table[lists[1] + 2 * i]), np.int64(table[lists[1] + 2 * i + 1])
            _add_multiple(arena, quarters, weight + size * matrix * tap, matrix, matrices + size * matrix * m)


@_inlined
def _filter_sum(arena, table, all_sums, sweep, filtered, width, target, g, x, room):
    """Add the gradients of a filtered layer's weights; target, g and x are addresses.

    The room is for a box of zeros, the gradients of the matrices, and those sums of boxes and of gradients that share
    a row of the form's matrix.
    """
    size, matrix, parts = arena.itemsize, sweep.outputs * sweep.inputs, filtered.parts
    along, reach = _along(filtered.form)
    positions = filtered.chunks * filtered.positions // parts
    cells = filtered.chunks * filtered.groups * filtered.cells // parts
    zeros, matrices, sums = _prepare(room, sweep.inputs, width, filtered.matrices * matrix)
    spread = sums + BLOCK_BYTES * along * positions * sweep.inputs
    places, lanes = np.empty(LONGEST**2, np.int64), BLOCK_BYTES // size
    for block in range(0, size * width, BLOCK_BYTES):
        before, after = (x + block, sweep.inputs, width), (g + block, sweep.outputs, width)
        for part in range(parts):
            sources = filtered.sources + part * positions * reach**2, positions, reach**2
            boxes = filtered.boxes + part * cells * CELL**2, cells, CELL**2
            for row in range(along):
                _form_all(arena, table, sources, (filtered.form, 0, row), before, zeros, sums, places)
                _form_all(arena, table, boxes, (filtered.form, 1, row), after, zeros, spread, places)
                for column in range(along):
                    left = spread + BLOCK_BYTES * column * cells * sweep.outputs, sweep.outputs, lanes
                    right = sums + BLOCK_BYTES * column * positions * sweep.inputs, sweep.inputs, lanes
                    gradient = matrices, sweep.to_out, sweep.to_in
                    _sum(arena, table, all_sums[filtered.sums + row * along + column], lanes, gradient, left, right)
    for m in range(filtered.matrices):
        for i in range(table[filtered.taps + m], table[filtered.taps + m + 1]):
            tap = np.int64(table[filtered.tap_entries + 2 * i])
            quarters = np.int64(table[filtered.tap_entries + 2 * i + 1])
            _add_multiple(arena, quarters, matrices + size * matrix * m, matrix, target + size * matrix * tap)


@njit(nogil=True)
def _sum(arena, table, sums, width, target, g, x):
    """Add sums of outer products to gradients.

    target: address, to_out, to_in; g and x: address, channels and width, of x 0 where the same ones serve all rows.
    """
    size, lanes = arena.itemsize, BLOCK_BYTES // arena.itemsize
    address, to_out, to_in = target
    blocks = width // lanes
    parts = _parts(g[1], ROWS)
    for segment in range(sums.count):
        at = sums.segments + 3 * segment
        entries = (table.ctypes.data + 4 * (sums.entries + 2 * table[at + 1]), np.int64(table[at + 2]))
        start = address + size * table[at]
        done = 0
        for part in range(parts, 0, -1):
            rows = _parts(g[1] - done, part)
            left = (g[0] + size * width * done, g[1] * width, width, lanes)
            for column in range(0, x[1], COLUMNS):
                columns = min(COLUMNS, x[1] - column)
                right = (x[0] + size * x[2] * column, x[1] * x[2], x[2], min(lanes, x[2]))
                place = start + size * (done * to_out + column * to_in)
                _outer(arena, rows, columns, entries, left, right, blocks, (place, to_out, to_in))
            done += rows


@njit(nogil=True)
def _copy(source, target, reference, count, flags):
    """Copy the first numbers of a state, after what the flags ask for."""
    for i in range(count):
        value = source[i] + target[i] if flags & ACCUMULATE else source[i]
        target[i] = 0 if flags & MASK and reference[i] <= 0 else value


@intrinsic
def _turn(typing, array, field, state, rows, inward):
    """Copy a square of half a block of samples by as many points of the grid between fields and state.

    field: address and points of a sample; state: address and width; rows: address of the row of each point.
    """

    def generate(context, builder, signature, values):
        groups = [cgutils.unpack_tuple(builder, value) for value in values[1:3]]
        emitter = _Emitter(context, builder, signature.args[0])
        writers = {way: partial(_write_turn, emitter, *groups, values[3], way) for way in (0, 1)}
        emitter.cases(values[4], writers)
        return context.get_dummy_value()

    return types.void(array, field, state, rows, inward), generate


def _write_turn(e, field, state, rows, inward):
    table = e.pointer(rows, _INT)
    count = range(e.lanes // 2)
    samples = [e.at(e.pointer(field[0]), field[1], i) for i in count]
    points = [e.at(e.pointer(state[0]), e.builder.load(e.at(table, i)), state[1]) for i in count]
    read, written = (samples, points) if inward else (points, samples)
    for vector, place in zip(e.transpose([e.load(place, e.half) for place in read]), written, strict=True):
        e.store(vector, place)


@njit(nogil=True)
def _lay_out(field, rows, state, width, inward):
    """Copy fields, (batch, points), to the rows of a state, or back; samples of a state past the last are zeros."""
    size, half = state.itemsize, BLOCK_BYTES // state.itemsize // 2
    batch, points = field.shape
    for start in range(0, min(batch, width) // half * half, half):
        sample = (field[start:].ctypes.data, points)
        for point in range(0, points // half * half, half):
            place = sample[0] + size * point, points
            _turn(state, place, (state[start:].ctypes.data, width), rows[point:].ctypes.data, np.int64(inward))
        _lay_out_few(field, rows, state, width, (start, start + half, points // half * half), inward)
    _lay_out_few(field, rows, state, width, (min(batch, width) // half * half, width, 0), inward)


@njit(nogil=True)
def _lay_out_few(field, rows, state, width, part, inward):
    """Copy what fills no square: samples from ``part[0]`` to ``part[1]`` and points from ``part[2]`` on."""
    for i in range(part[0], part[1]):
        for point in range(part[2], field.shape[1]):
            if not inward and i < len(field):
                field[i, point] = state[rows[point] * width + i]
            elif inward:
                state[rows[point] * width + i] = field[i, point] if i < len(field) else 0


@njit(nogil=True)
def _weights(layer, member, size):
    """Addresses of a member's weight and bias, and the bias's stride."""
    return layer[0] + size * member * layer[1], layer[2] + size * member * layer[3], np.int64(layer[3] > 0)


@njit(nogil=True, cache=True)
def forward(program, layers, v, u, arena, room, schedule):
    """Apply a network to tiles of samples.

    Parameters
    ----------
    program : tuple
        Steps, sweeps (of each layer and of its transpose), sums (of each layer's weight and bias), filters, table, the
        row of each point of the grid, and the rows where the input and the output start.
    layers : (layers, 6) int64 array
        Address and size (of a member) of each layer's weight and bias, and their places among the gradients.
    v, u : (1 or members, batch, points), (members, batch, points) array
        Input and output.
    arena : array
        The states, of every tile or, if ``keep`` is 0, one after the other in the same place.
    room : array
        What filters need.
    schedule : tuple
        Rows of a state, samples in a tile, first job (a tile of a member) and step to the next one, keep.
    """
    steps, _, _, _, _, places, (row_in, row_out) = program
    rows, tile, job, stride, keep = schedule
    members, batch, _ = u.shape
    lanes = BLOCK_BYTES // arena.itemsize
    padded = (batch + lanes - 1) // lanes * lanes
    tiles = (batch + tile - 1) // tile
    while job < members * tiles:
        member, start = job // tiles, job % tiles * tile
        width = min(tile, padded - start)
        state = arena[keep * rows * (member * padded + start) :]
        _lay_out(v[member % len(v), start : start + width], places, state[row_in * width :], width, True)
        for step in steps:
            _do(step, program, layers, member, state, room, width)
        _lay_out(u[member, start : start + width], places, state[row_out * width :], width, False)
        job += stride


@_inlined
def _do(step, program, layers, member, state, room, width):
    _, sweeps, _, filters, table, _, _ = program
    size = state.itemsize
    if step.kind == ADD:
        y, count = state[step.y * width :], step.size * width
        _copy(state[step.x * width :], y, y, count, 0)
        _copy(state[step.other * width :], y, y, count, ACCUMULATE)
    else:
        base = state.ctypes.data
        weights = _weights(layers[step.layer], member, size)
        x, other = base + size * width * step.x, base + size * width * step.other
        result = base + size * width * step.y
        operands = x, result, other, result, step.flags
        _multiply(state, table, sweeps[2 * step.layer], filters[step.layer], False, width, weights, operands, room)


@_inlined
def _multiply(state, table, sweep, filtered, back, width, weights, operands, room):
    """Multiply the state by a layer or its transpose."""
    if filtered.matrices:
        _filter(state, table, sweep, filtered, back, width, weights, operands, room)
    else:
        _sweep(state, table, sweep, width, weights, operands)


@njit(nogil=True, cache=True)
def backward(program, layers, grad_u, grad_v, arena, scratch, room, gradients, schedule):
    """Compute the gradients of weights, biases and input from that of the output.

    Parameters
    ----------
    program, layers, arena
        As in `forward`, which has filled the arena.
    grad_u, grad_v : (members, batch, points) array
        Gradients of output and input, the second one empty if it is not asked for.
    scratch : array
        Room for the gradients of a state.
    room : array
        What filters need.
    gradients : (groups, numbers) array
        Gradients of weights and biases, summed over groups of tiles; zeros at the start.
    schedule : tuple
        Rows of a state, samples in a tile, first job (a group of a member) and step to the next one.
    """
    steps, _, _, _, _, places, (row_in, row_out) = program
    rows, tile, job, stride = schedule
    (members, batch, _), groups = grad_u.shape, len(gradients)
    lanes = BLOCK_BYTES // arena.itemsize
    padded = (batch + lanes - 1) // lanes * lanes
    tiles = (batch + tile - 1) // tile
    constants = np.zeros(2 * lanes, arena.dtype)
    constants[lanes:] = 1
    while job < members * groups:
        member, group = job // groups, job % groups
        for start in range(group * tiles // groups * tile, (group + 1) * tiles // groups * tile, tile):
            width = min(tile, padded - start)
            state = arena[rows * (member * padded + start) :]
            _lay_out(grad_u[member, start : start + width], places, scratch[row_out * width :], width, True)
            for i in range(len(steps) - 1, -1, -1):
                states = (state, scratch, gradients[group], constants, room)
                _undo(steps[i], program, layers, member, states, width, grad_v.size > 0)
            if grad_v.size > 0:
                _lay_out(grad_v[member, start : start + width], places, scratch[row_in * width :], width, False)
        job += stride


@_inlined
def _undo(step, program, layers, member, states, width, to_input):
    """Add what a step contributes to the gradients of its weight, its bias and its operands."""
    state, scratch, gradient, constants, room = states
    total = scratch[step.grad_y * width :]
    count = step.size * width
    if step.kind == ADD or step.flags & ACCUMULATE:
        _copy(total, scratch[step.grad_other * width :], state[step.other * width :], count, step.flags_other)
    if step.kind == ADD:
        _copy(total, scratch[step.grad_x * width :], state[step.x * width :], count, step.flags_x)
        return
    _, sweeps, sums, filters, table, _, _ = program
    layer, sweep, filtered = layers[step.layer], sweeps[2 * step.layer], filters[step.layer]
    size = state.itemsize
    zero, one = constants.ctypes.data, constants[len(constants) // 2 :].ctypes.data
    x = state[step.x * width :].ctypes.data
    g = (total.ctypes.data, sweep.outputs, width)
    start = gradient.ctypes.data
    places = (start + size * (layer[4] + member * layer[1]), start + size * (layer[5] + member * layer[3]))
    for i in range(2 if layer[3] > 0 else 1):  # the bias's gradient is the weight's for the constant input 1
        target = (places[i], sweep.to_out if i == 0 else 1, sweep.to_in)
        operand = (x, sweep.inputs, width) if i == 0 else (one, 1, 0)
        if i == 0 and filtered.matrices:
            _filter_sum(state, table, sums, sweep, filtered, width, places[i], g[0], x, room)
        else:
            _sum(state, table, sums[2 * step.layer + i], width, target, g, operand)
    if to_input or not step.from_input:
        weights = (_weights(layer, member, size)[0], zero, 0)
        grad_x = scratch[step.grad_x * width :].ctypes.data
        operands = (g[0], grad_x, grad_x, x, step.flags_x)
        _multiply(state, table, sweeps[2 * step.layer + 1], filtered, True, width, weights, operands, room)
