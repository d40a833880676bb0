package main

// A source is a database that panels read, always as the role grafana_ro,
// which sees no personal column.
type source struct {
	UID, Name string
	Database  string // its name on the server
	// Environment variables of the server's address (host:port) and of the role's password.
	Address, Password string
}

var (
	salesDB     = source{"sales-db", "Sales DB", "sales_data", "SALES_DB_ADDRESS", "SALES_DB_PASSWORD"}
	marketingDB = source{"marketing-db", "Marketing DB", "marketing_data", "MARKETING_DB_ADDRESS", "MARKETING_DB_PASSWORD"}
	salesAPIDB  = source{"sales-api-db", "Sales API DB", "sales_api", "SALES_API_DB_ADDRESS", "SALES_API_DB_PASSWORD"}
	marts       = source{"marts", "Marts", "sales_analytics", "MARTS_ADDRESS", "MARTS_PASSWORD"}
)

var sources = []source{salesDB, marketingDB, salesAPIDB, marts}
