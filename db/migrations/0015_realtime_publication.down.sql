-- The publication keeps its tables: which of them were there before, nobody knows.
SELECT;
