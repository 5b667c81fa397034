// Included by build.rs: `protocol::Request` for the request of each method in services.proto.

/// Writes the implementations; collects the methods of each service.
#[derive(Default)]
struct Methods {
    services: Vec<(String, Vec<String>)>,
}

impl prost_build::ServiceGenerator for Methods {
    fn generate(&mut self, service: prost_build::Service, code: &mut String) {
        let name = service.proto_name;
        for method in &service.methods {
            let (request, response) = (&method.input_type, &method.output_type);
            code.push_str(&format!(
                "impl crate::Request for {request} {{\n\
                 type Response = {response};\n\
                 const SERVICE: &'static str = {name:?};\n\
                 const METHOD: &'static str = {:?};\n\
                 }}\n",
                method.proto_name,
            ));
        }
        self.services.push((name, service.methods.into_iter().map(|method| method.proto_name).collect()));
    }

    fn finalize_package(&mut self, _package: &str, code: &mut String) {
        code.push_str("/// The methods of each service by their names on the wire.\n");
        code.push_str("pub const METHODS: &[(&str, &[&str])] = &[\n");
        for (name, methods) in &self.services {
            code.push_str(&format!("({name:?}, &{methods:?}),\n"));
        }
        code.push_str("];\n");
    }
}
