-- name: tell_operators
SELECT tell_operators($1, $2);
