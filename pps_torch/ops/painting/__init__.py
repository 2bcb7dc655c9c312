"""What merging calls: masks, boxes, queries and centres become maps of owners and ids."""
