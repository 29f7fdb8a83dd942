# What is made, with AWS mocked: 'terraform test' needs no account.

mock_provider "aws" {}

run "an_image_is_found_unless_one_is_given" {
  command = plan

  override_data {
    target = data.aws_ami.debian[0]
    values = { id = "ami-0fedcba9876543210" }
  }

  assert {
    condition     = aws_instance.main.ami == "ami-0fedcba9876543210"
    error_message = "not the image that was found"
  }
}

run "the_instance_has_no_open_port_and_no_secret" {
  command = apply

  variables {
    ami = "ami-0123456789abcdef0"
  }

  assert {
    condition     = length(aws_security_group.main.ingress) == 0
    error_message = "something may come in"
  }
  assert {
    condition     = aws_instance.main.metadata_options[0].http_tokens == "required" && aws_instance.main.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "the instance's identity is given to whoever can have it fetched"
  }
  assert {
    condition     = adit_agent.main.auth == "aws-instance-identity"
    error_message = "the agent's token would be in the user data"
  }
  assert {
    condition     = aws_instance.main.root_block_device[0].encrypted
    error_message = "the disk is not encrypted"
  }
}
