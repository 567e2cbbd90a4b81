-- The key of sensor_data has the values of a reading beside it: what is asked of one
-- sensor is then read from the few pages of its index, and not from a page of the table for
-- each of its readings, as these came in order of time.  The index of a table that has
-- readings is made anew, which takes its time.  Hypertables, and who has no
-- key, stay as they are.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_class r JOIN pg_constraint k ON k.conrelid = r.oid AND k.conname = 'sensor_data_pkey'
        WHERE r.oid = 'sensor_data'::regclass AND r.relkind = 'p'
    ) THEN
        ALTER TABLE sensor_data DROP CONSTRAINT sensor_data_pkey;
        ALTER TABLE sensor_data ADD PRIMARY KEY (sensor_id, time) INCLUDE (temperature, cpu);
    END IF;
END
$$;
