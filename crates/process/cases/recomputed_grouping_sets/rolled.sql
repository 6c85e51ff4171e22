SELECT who, place, grouping(place) AS over_places, sum(value) AS total FROM events GROUP BY ROLLUP (who, place)
