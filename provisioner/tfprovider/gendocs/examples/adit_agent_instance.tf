resource "adit_agent" "main" {
  name = "main"
  auth = "aws-instance-identity"
}

# There is no secret in its user data.
resource "aws_instance" "main" {
  ami           = "ami-0123456789abcdef0"
  instance_type = "t3.large"
  user_data     = adit_agent.main.init_script
}

resource "adit_agent_instance" "main" {
  agent_id    = adit_agent.main.id
  instance_id = aws_instance.main.id
}
