package store

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// jsonMap writes a map as Postgres keeps it.
func jsonMap(m map[string]string) []byte {
	if len(m) == 0 {
		return []byte("{}")
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("store: a map of strings is always JSON: %v", err))
	}
	return b
}

// mapFrom reads what jsonMap wrote. The columns hold nothing else.
func mapFrom(b []byte) map[string]string {
	m := make(map[string]string)
	if len(b) > 0 {
		_ = json.Unmarshal(b, &m)
	}
	return m
}

// nullable returns an id as a column that may be null: the zero id is.
func nullable(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }

// optional returns a truth value as a column or parameter that may be null: nil is.
func optional(b *bool) pgtype.Bool {
	if b == nil {
		return pgtype.Bool{}
	}
	return pgtype.Bool{Bool: *b, Valid: true}
}
