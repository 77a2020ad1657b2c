DROP TABLE spare_celebrity_embeddings;
DROP TABLE spare_face_embeddings;
