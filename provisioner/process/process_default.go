//go:build !linux

package process

import (
	"context"

	"github.com/google/uuid"
)

// ID is not supported here.
func (h Host) ID() (string, error) { return "", ErrUnsupported }

// MakeHome is not supported here.
func (h Host) MakeHome(uuid.UUID) error { return ErrUnsupported }

// Start is not supported here.
func (h Host) Start(context.Context, Spec) error { return ErrUnsupported }

// Running is not supported here.
func (h Host) Running(_, _ uuid.UUID) (bool, error) { return false, ErrUnsupported }

// Stop is not supported here.
func (h Host) Stop(_ context.Context, _, _ uuid.UUID) error { return ErrUnsupported }

// Sweep is not supported here.
func (h Host) Sweep(context.Context, uuid.UUID, ...uuid.UUID) error { return ErrUnsupported }

// Remove is not supported here.
func (h Host) Remove(context.Context, uuid.UUID) error { return ErrUnsupported }

// Supervise is not supported here.
func Supervise(string) error { return ErrUnsupported }

// Certificates is not supported here.
func Certificates() string { return "" }

// SuperviseContainer is not supported here.
func SuperviseContainer() {}
