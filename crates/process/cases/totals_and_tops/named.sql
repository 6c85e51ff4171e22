SELECT c.ts, c.page, c.user_id, p.section, p.weight FROM clicks c JOIN pages p ON p.page = c.page
