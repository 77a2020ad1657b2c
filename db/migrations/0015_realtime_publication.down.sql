-- The publication keeps its tables, because it is not known which of them it had before.
SELECT;
