// Entry points of the local cluster's images: they take the flags and environment of the production images.
module openim.io/e2e/tools/images/entrypoints

go 1.26.0
