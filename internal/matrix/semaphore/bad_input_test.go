package semaphore_test

import (
	"context"
)

func called(context.Context) error { panic("it was called") }
