// Package asg is an Auto Scaling service over HTTP, with as much of EC2
// (launch templates, images), Elastic Load Balancing (target groups) and
// CloudWatch (metrics, alarms) as groups need. It keeps every field as it was
// sent, pages its lists, numbers its calls and refuses what AWS refuses. Its
// groups hold instances: made-up ones, or those that Machines launches.
//
// Time is a clock that is given. With made-up machines the groups are brought
// to its now before every call; with others only Tick does so, and Tick makes
// its calls to Machines with no lock held.
//
// Groups keep to their desired capacity over zones, purchase options and
// types; they let hooks hold instances, replace what is ill or too old, fill
// warm pools, follow policies, alarms and schedules, and roll versions out and
// back by instance refresh. Activities say why anything was done.
//
// A test has its hand on what AWS would decide by itself: Fail lets calls end
// with a code, Lag delays what describes show, Offer sets what a capacity pool
// has and costs, Lose takes a pool away, Recommend is EC2's recommendation to
// rebalance, and SetMetric gives a metric a value. Calls and Sent list what
// was asked of the service and what it told its topics.
//
// What is not modelled: forecasts of predictive scaling (its policies are
// kept), LaunchInstances, the strategy ReplaceRootVolume, types chosen by
// InstanceRequirements (such an override launches the template's type), custom
// termination functions, connection draining, and zonal shifts. Times that AWS
// does not state are this service's own: a failed launch is tried again after
// 10 seconds, twice as long each time up to 5 minutes, and a zone without
// capacity is a last resort for 5 minutes.
//
// Auto Scaling and EC2 are spoken in AWS's Query protocols, CloudWatch in
// Smithy RPC v2 CBOR, as the SDK speaks to the real ones.
package asg
