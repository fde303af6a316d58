-- One row for each thing that only the active may change: the highest term that has changed it.
CREATE TABLE fence (name text PRIMARY KEY, term bigint NOT NULL);

-- First in each transaction that writes. The row stays locked until the commit, so that no other term slips in between.
CREATE FUNCTION check_term(thing text, mine bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO fence VALUES (thing, mine)
    ON CONFLICT (name) DO UPDATE SET term = excluded.term WHERE fence.term <= excluded.term;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'fenced: term % is over, % has seen term %',
      mine, thing, (SELECT term FROM fence WHERE name = thing);
  END IF;
END
$$;

-- What is guarded.
CREATE TABLE jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, term bigint NOT NULL, text text NOT NULL);
