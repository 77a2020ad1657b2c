DROP TABLE settled_faces;
DROP TABLE match_generations;
