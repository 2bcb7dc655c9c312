"""What merging calls: masks, boxes, queries and centres become maps of owners, segments and ids."""
