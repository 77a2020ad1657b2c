-- contract: unused since 2.1, the first version
DROP TABLE bio_vectors;
