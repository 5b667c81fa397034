// localkube starts and stops the local single-node Kubernetes, builds images without an engine, and forwards ports into the sealed
// network namespace. Standard library only.
module openim.io/e2e/tools/cluster/localkube

go 1.26.0
