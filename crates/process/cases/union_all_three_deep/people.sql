SELECT who FROM lefts UNION SELECT who FROM rights
