SELECT kind, count(*) AS n FROM strict__dead GROUP BY kind
