# SPDX-License-Identifier: MIT
"""The readings that benchmarks store and ask for, as messages and as rows for COPY.

In each step every sensor has one reading; ten gateways send those of their 100 sensors in
turn.  Values come again after 1000 steps, so all but the time of a message was made before:
ten million readings take seconds.
"""

import struct
from array import array

SENSORS = 1000
PER_MESSAGE = 100
GATEWAYS = SENSORS // PER_MESSAGE
PARTITIONS = 4
START = 1_646_352_000  # 2022-03-04T00:00:00Z
PERIOD = 1000
SECOND_US = 10**6
DAY_US = 86_400 * SECOND_US
BATCH = 10_000  # tuples that are sorted at a time, unless more are asked for

EPOCH_2000_US = 946_684_800 * SECOND_US
COPY_BEGIN = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
COPY_END = struct.pack(">h", -1)
ROW = struct.Struct(">hiqiiidid")
ROW_TIME = 6  # where in a row: behind the number of fields and the length of this one


def temperature(step, sensor):
    return 15 + (step * 7 + sensor) % 200 / 10


def cpu(step, sensor):
    return (step + sensor * 3) % PERIOD / 10


def reading(ts, sensor, temperature_, cpu_):
    return f'{{"ts":{ts},"sensor_id":{sensor},"temperature":{temperature_},"cpu":{cpu_}}}'


class Readings:
    """`rows` of them from number `first` on, both whole steps; see `Readings.made()`."""

    def __init__(self, rows, first=0, step_us=SECOND_US):
        self.rows, self.step_us = rows, step_us
        self.steps = range(first // SENSORS, (first + rows) // SENSORS)
        assert rows % SENSORS == 0 and first % SENSORS == 0
        # In one step each sensor has another one of the 1000 values.
        self.cpu = len(self.steps) * sum(range(PERIOD)) / 10
        self._parts, self._chunks = {}, {}

    def ts(self, step):
        return START + step * self.step_us // SECOND_US

    def range_us(self):
        """From the first time on, before the second."""
        return tuple(START * SECOND_US + step * self.step_us
                     for step in (self.steps.start, self.steps.stop))

    def parts(self):
        """In the order in which they are sent: (step, gateway, its readings with @ for ts)."""
        for step in self.steps:
            for gateway in range(GATEWAYS):
                key = step % PERIOD, gateway
                part = self._parts.get(key)
                if part is None:
                    part = self._parts[key] = [
                        reading("@", s, temperature(step, s), cpu(step, s))
                        for s in range(gateway * PER_MESSAGE + 1, (gateway + 1) * PER_MESSAGE + 1)]
                yield step, gateway, part

    def messages(self):
        """(partition, value) of messages with 100 readings."""
        for step, gateway, part in self.parts():
            yield gateway % PARTITIONS, f"[{','.join(part)}]".replace("@", str(self.ts(step)))

    def singles(self):
        """(partition, value) of messages with one reading."""
        for step, gateway, part in self.parts():
            ts = str(self.ts(step))
            for text in part:
                yield gateway % PARTITIONS, text.replace("@", ts)

    def chunks(self, rows=BATCH):
        """The tuples of COPY BINARY, each `rows` of them sorted by key."""
        size = rows // SENSORS
        for first in range(self.steps.start, self.steps.stop, size):
            steps = range(first, min(first + size, self.steps.stop))
            yield self._chunk(steps)

    def _chunk(self, steps):
        key = steps.start % PERIOD, len(steps)
        chunk = self._chunks.get(key)
        if chunk is None:
            chunk = self._chunks[key] = bytearray(b"".join(
                ROW.pack(4, 8, 0, 4, s, 8, temperature(step, s), 8, cpu(step, s))
                for s in range(1, SENSORS + 1) for step in steps))
        begin = START * SECOND_US - EPOCH_2000_US
        times = array("q", [begin + step * self.step_us for step in steps])
        times.byteswap()
        times = times.tobytes() * SENSORS
        for i in range(8):
            chunk[ROW_TIME + i::ROW.size] = times[i::8]
        return chunk


class Stream:
    """Chunks as the file of a COPY FROM STDIN BINARY."""

    def __init__(self, chunks):
        self._chunks = chunks
        self._data = memoryview(COPY_BEGIN)
        self._ended = False

    def read(self, size):
        while not self._data and not self._ended:
            chunk = next(self._chunks, None)
            self._ended = chunk is None
            self._data = memoryview(COPY_END if chunk is None else bytes(chunk))
        data, self._data = self._data[:size], self._data[size:]
        return bytes(data)
