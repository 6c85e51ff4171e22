SELECT ts, who, value FROM lefts UNION ALL SELECT ts, who, value * 10 FROM rights
