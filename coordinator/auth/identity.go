package auth

import "github.com/aditmesh/adit/coordinator/store"

// OfToken returns who a token that is good belongs to.
func OfToken(t store.LiveToken) Identity {
	return Identity{
		Kind: User, UserID: t.UserID, TokenID: t.ID, Username: t.Username,
		Role: t.Role, Organizations: t.Organizations, Scopes: t.Scopes,
	}
}
