# SPDX-License-Identifier: MIT
"""What bad readings cost: the same readings clean and with 1 % bad ones, into the same table."""

from bench.figure import Benchmark, Figure, Ratio, demand
from bench.ingest import drained
from bench.readings import PER_MESSAGE, SENSORS, Readings, cpu, reading

NINE_DAYS = 9 * 86_400


class Poisoned:
    """Messages of which some have a bad reading and some are no JSON; counts what is good."""

    def __init__(self, readings, bad, bad_every, broken_every):
        self.readings, self.bad = readings, bad
        self.bad_every, self.broken_every = bad_every, broken_every
        self.rows, self.cpu, self.letters = readings.rows, readings.cpu, 0

    def messages(self):
        for number, ((step, gateway, part), (partition, text)) in enumerate(
                zip(self.readings.parts(), self.readings.messages())):
            first = gateway * PER_MESSAGE + 1
            if self.broken_every and number % self.broken_every == 77:
                self._lose(step, range(first, first + PER_MESSAGE))
                text = text[:-1]
            elif number % self.bad_every == 0:
                index = number * 37 % PER_MESSAGE
                self._lose(step, [first + index])
                bad = self.bad("@", first + index, cpu(step, first + index))
                text = f"[{','.join([*part[:index], bad, *part[index + 1:]])}]".replace(
                    "@", str(self.readings.ts(step)))
            yield partition, text

    def _lose(self, step, sensors):
        self.rows -= len(sensors)
        self.cpu -= sum(cpu(step, sensor) for sensor in sensors)
        self.letters += 1


class Poison(Benchmark):
    """Where the table demands `ddl`, with the module's `options`."""

    size = 400_000
    ddl, options = "", {}
    bad_every, broken_every = 1, 0
    is_default = False

    def prepare(self):
        readings = Readings(self.lab.rows(self.size))
        self.clean = self.lab.topic(f"clean-{readings.rows}", readings, readings.messages())
        poisoned = Poisoned(readings, self.bad, self.bad_every, self.broken_every)
        self.topic = self.lab.topic(self.name, poisoned, poisoned.messages())
        self.letters = poisoned.letters
        self.database = self.lab.database(self.name, readings)
        if self.ddl:
            self.database.query(self.ddl)

    def drained(self, topic):
        return drained(self.lab, topic, database=self.database,
                       commands={"sensor": self.options})

    def reference(self):
        return [self.drained(self.clean).rate]

    def cqrsd(self):
        done = self.drained(self.topic)
        demand(done.letters == self.letters,
               f"{done.letters} dead letters instead of {self.letters}")
        return [done.rate]


class Hot(Poison):
    ddl = "ALTER TABLE sensor_data ADD CHECK (temperature < 1000)"

    @staticmethod
    def bad(ts, sensor, value):
        return reading(ts, sensor, 5000, value)


class IngestPoison(Hot):
    """Half of what is bad is no JSON: one message in 200, and one reading in every second."""

    figures = (Figure("ingest-poison", "rows/s", Ratio(0.50)),)
    size, bad_every, broken_every, is_default = 1_000_000, 2, 200, True


class Check(Hot):
    figures = (Figure("poison-check", "rows/s", Ratio(0.50)),)


class ForeignKey(Poison):
    figures = (Figure("poison-foreign-key", "rows/s", Ratio(0.50)),)
    ddl = (f"CREATE TABLE allowed AS SELECT n AS id FROM generate_series(1, {SENSORS}) n;"
           "ALTER TABLE allowed ADD PRIMARY KEY (id); ANALYZE allowed;"
           "ALTER TABLE sensor_data ADD FOREIGN KEY (sensor_id) REFERENCES allowed")

    @staticmethod
    def bad(ts, sensor, value):
        return reading(ts, SENSORS + sensor, 20.5, value)


class UnknownSensor(ForeignKey):
    """The module knows by itself."""

    figures = (Figure("poison-unknown-sensor", "rows/s", Ratio(0.50)),)
    ddl, options = "", {"unknown_sensors": "refuse"}


class NotNull(Poison):
    figures = (Figure("poison-not-null", "rows/s", Ratio(0.50)),)
    ddl = "ALTER TABLE sensor_data ALTER cpu SET NOT NULL"

    @staticmethod
    def bad(ts, sensor, _):
        return reading(ts, sensor, 20.5, "null")


class OutOfRange(Poison):
    figures = (Figure("poison-out-of-range", "rows/s", Ratio(0.50)),)
    ddl = "ALTER TABLE sensor_data ALTER temperature TYPE numeric(5, 1)"

    @staticmethod
    def bad(ts, sensor, value):
        return reading(ts, sensor, 99999, value)


class NoPartition(Poison):
    """Nobody makes the one that the bad readings would need."""

    figures = (Figure("poison-no-partition", "rows/s", Ratio(0.50)),)
    ddl = ("CREATE OR REPLACE FUNCTION sensor_data_partition(low timestamptz, high timestamptz)"
           " RETURNS void LANGUAGE sql AS ''")

    def prepare(self):
        self.ts = Readings(SENSORS).ts(0) + NINE_DAYS
        super().prepare()

    def bad(self, _, sensor, value):
        return reading(self.ts + sensor, sensor, 20.5, value)
