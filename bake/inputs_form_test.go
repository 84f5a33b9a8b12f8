package bake

import "testing"

func TestTheBuilderRunsWhereCapacityIsReserved(t *testing.T) {
	t.Parallel()
	f := newProving(t, up)
	f.in.Tenancy, f.in.CapacityReservation = "dedicated", "cr-0123456789abcdef0"
	if _, err := f.Bake(t.Context(), f.plan(t)); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][2]string{{"dedicated", "cr-0123456789abcdef0"}, {"", ""}} { // the builder; the proving instance
		run := f.ec2.instances[i].params
		got := [2]string{run.Get("Placement.Tenancy"), run.Get("CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId")}
		if got != want {
			t.Errorf("instance %d runs with %v, want %v", i, got, want)
		}
	}
}
