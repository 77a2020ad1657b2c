"""What the API accepts and answers, field by field, over HTTP and realtime alike."""
