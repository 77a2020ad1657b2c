"""What the API takes and gives, field by field as its clients know them."""
